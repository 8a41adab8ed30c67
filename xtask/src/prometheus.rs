//! Runs a real Prometheus against a served platform, and checks that the queries of dashboards and alerts return data.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use crate::platform::{self, Build, Served};
use crate::promql::{Query, Table, queries, selectors, table};
use crate::tools::{DATASETS, LIBDUCKDB, PROMETHEUS};
use crate::workspace::{self, Scratch};
use crate::{Result, command, setup};

mod api;
mod collector;
mod demo;
mod exchange;
mod healthy;
mod load;
mod runbooks;

use api::Api;
pub(crate) use collector::{Collector, start as collector};
pub(crate) use demo::check as check_demo;
pub(crate) use load::Load;

const SCRAPE: &str = "1s";
/// Grafana's `$__rate_interval` would be four scrapes; a few more allow for a busy machine.
const RANGE: &str = "20s";
const READY_WITHIN: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_secs(20);
const LONG: Duration = Duration::from_secs(60);

/// Selectors of failures, of gRPC and of the shared bucket, for which a healthy platform without a bucket has no
/// series. `tidy` checks that metrics and labels exist.
const ABSENT: [&str; 5] = [
    "http_response_failures_total{",
    "status=~\"5..\"",
    "cache_shared_",
    "rpc_server_call_duration_seconds_count{",
    "slo:grpc_availability:",
];
/// Catalog of the overview, with the suffix of each metric's value: a counter of that name, the count of a histogram,
/// or a gauge.
const OVERVIEW: [(&str, &str); 14] = [
    ("http_requests_total", ""),
    ("http_request_latency_seconds", "_count"),
    ("duckdb_query_seconds", "_count"),
    ("duckdb_query_total", ""),
    ("isochrone_requests_total", ""),
    ("isochrone_request_latency_seconds", "_count"),
    ("orchestrator_phase_seconds", "_count"),
    ("orchestrator_agent_retries_total", ""),
    ("orchestrator_runs_total", ""),
    ("cache_hits_total", ""),
    ("cache_misses_total", ""),
    ("cache_size_bytes", ""),
    ("registry_models_total", ""),
    ("registry_datasets_total", ""),
];
/// Panels and annotations that may be empty: events that did not happen, and features that a platform without bucket
/// and gRPC lacks.
const EMPTY: [&str; 5] = [
    "New build",
    "Restarts",
    "Shared bucket",
    "GrpcAvailability: burn rate",
    "GrpcAvailability: bad events",
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Apply load for 60 seconds instead of 20
    #[arg(long)]
    full: bool,
    /// Path of a platform that is already built
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure(&[LIBDUCKDB, DATASETS, PROMETHEUS])?;
    let folder = setup::folder_of(PROMETHEUS)
        .ok_or("Prometheus is missing; `cargo xtask setup` shows why")?;
    let binary = match &args.binary {
        Some(binary) => binary.clone(),
        None => platform::build(Build::Plain)?,
    };
    let served = Served::traced(&binary, &collector::start()?)?;
    check(&folder, &served, args.full)?;
    served.stop()
}

/// Runs Prometheus and a load on every subsystem, then runs all queries of dashboards and alerts.
pub(crate) fn check(prometheus: &Path, served: &Served, full: bool) -> Result<()> {
    let scratch = Scratch::new("prometheus")?;
    let server = Prometheus::start(prometheus, served, &scratch)?;
    let load = Load::new(&served.api, &served.folder.join("datasets"));
    let began = (served.get("/metrics")?, Instant::now());
    load.run(began.1 + if full { LONG } else { SHORT })?;
    let (ended, seconds) = (served.get("/metrics")?, began.1.elapsed().as_secs_f64());
    server.wait_for_scrape()?;
    let mut faults = served_metrics(&served.get("/metrics")?)?;
    faults.extend(overview(&server.api)?);
    faults.extend(panels(&server.api)?);
    faults.extend(alerts(&server.api)?);
    let promtool = prometheus.join("usr/bin/promtool");
    faults.extend(healthy::check(&promtool, &began.0, &ended, seconds)?);
    faults.extend(runbooks::run(prometheus, &server.api, served)?);
    for fault in &faults {
        println!("  {fault}");
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "{} faults between Prometheus and the platform",
            faults.len()
        ))
    }
}

/// Checks that every served metric is in the table of metrics, with the same type and no further labels.
fn served_metrics(exposition: &str) -> Result<Vec<String>> {
    let page = std::fs::read_to_string(workspace::root().join(table::PAGE))
        .map_err(|e| format!("cannot read {}: {e}", table::PAGE))?;
    let table = Table::read(&page);
    let mut faults = BTreeSet::new();
    let samples = exposition
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    for line in samples {
        let series = line.rsplit_once(' ').map_or(line, |(series, _)| series);
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let Some(named) = table.named(name) else {
            faults.insert(format!(
                "{name} is served, but {} does not document it",
                table::PAGE
            ));
            continue;
        };
        // values contain no quotes, so every other piece is a value
        let names = labels
            .split('"')
            .step_by(2)
            .map(|piece| piece.trim_matches([',', '=', '}']));
        for label in names.filter(|label| !label.is_empty() && *label != "le") {
            if !named.metric.labels.iter().any(|known| known == label) {
                faults.insert(format!(
                    "{name} is served with {label}, which {} does not document",
                    table::PAGE
                ));
            }
        }
    }
    println!("checked every served metric against {}", table::PAGE);
    Ok(faults.into_iter().collect())
}

/// Checks that each metric of the overview has a value above zero, caused by the load.
fn overview(api: &Api) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for (name, end) in OVERVIEW {
        let sum = api.query(&format!("sum({name}{end})"))?;
        if !sum.iter().any(|value| *value > 0.0) {
            faults.push(format!("{name} has no value"));
        }
    }
    println!("checked the {} metrics of the overview", OVERVIEW.len());
    Ok(faults)
}

fn panels(api: &Api) -> Result<Vec<String>> {
    let mut asked = Vec::new();
    for file in queries::dashboards(&workspace::root()) {
        let text = std::fs::read_to_string(&file)
            .map_err(|e| format!("cannot read {}: {e}", file.display()))?;
        let dashboard: Value =
            serde_json::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))?;
        asked.extend(queries::of_dashboard(&file, &dashboard, RANGE));
    }
    let faults: Vec<String> = asked.iter().filter_map(|query| panel(api, query)).collect();
    println!(
        "ran {} queries of the dashboards, {} without a result",
        asked.len(),
        faults.len()
    );
    Ok(faults)
}

fn panel(api: &Api, query: &Query) -> Option<String> {
    let place = format!("{}, {}", file_name(&query.file), query.name);
    match api.query(&query.text) {
        Err(why) => Some(format!("{place}: {why}")),
        Ok(_) if EMPTY.contains(&query.name.as_str()) => None,
        Ok(values) if values.is_empty() => Some(format!("{place}: no data for {}", query.text)),
        Ok(values) if values.iter().any(|value| value.is_finite()) => None,
        Ok(_) => Some(format!("{place}: no number for {}", query.text)),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Checks that Prometheus evaluates each rule, and that each of its selectors matches a series.
fn alerts(api: &Api) -> Result<Vec<String>> {
    let mut faults = api.unhealthy_rules()?;
    let asked = queries::of_alerts(&workspace::root())?;
    let mut count = 0;
    for query in &asked {
        for selector in selectors(&query.text)? {
            count += 1;
            let may_be_absent = ABSENT.iter().any(|part| selector.contains(part));
            if api.query(&selector)?.is_empty() && !may_be_absent {
                faults.push(format!("{}: no series for {selector}", query.name));
            }
        }
    }
    println!(
        "{} alerts with {count} selectors were evaluated",
        asked.len()
    );
    Ok(faults)
}

/// A Prometheus process; stopped on drop.
struct Prometheus {
    child: Child,
    api: Api,
}

impl Prometheus {
    fn start(folder: &Path, served: &Served, scratch: &Scratch) -> Result<Self> {
        let config = config(served, scratch.path())?;
        let port = free_port()?;
        let mut program = command::program(folder.join("usr/bin/prometheus"));
        program
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                scratch.path().join("tsdb").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--log.level=warn");
        println!("$ {}", command::shown(&program));
        let child = spawn(&mut program)?;
        let server = Self {
            child,
            api: Api::new(format!("127.0.0.1:{port}")),
        };
        let started = Instant::now();
        while !server.api.is_ready() {
            if started.elapsed() > READY_WITHIN {
                return Err(format!(
                    "Prometheus was not ready within {} s",
                    READY_WITHIN.as_secs()
                ));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(server)
    }
}

impl Prometheus {
    /// Waits until the last scrape succeeded: a failed one makes all series stale.
    fn wait_for_scrape(&self) -> Result<()> {
        let started = Instant::now();
        while self.api.query("up == 1")?.is_empty() {
            if started.elapsed() > READY_WITHIN {
                return Err("Prometheus cannot scrape the platform".to_owned());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // its data is removed with the scratch folder, so nothing has to be saved
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

fn spawn(program: &mut Command) -> Result<Child> {
    let child = program.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    child.map_err(|e| format!("cannot start Prometheus: {e}"))
}

/// Returns a port that was free a moment ago, for programs such as Prometheus that accept no port 0 and do not report
/// their port.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener
        .map(|address| address.port())
        .map_err(|e| format!("cannot find a free port: {e}"))
}

#[derive(Deserialize)]
struct Config {
    scrape_configs: Vec<ScrapeConfig>,
}

#[derive(Deserialize)]
struct ScrapeConfig {
    job_name: String,
}

/// Writes `configs/prometheus.yml` with this platform as its target, and a scrape interval of a second.
fn config(served: &Served, scratch: &Path) -> Result<PathBuf> {
    let original = workspace::root().join("configs/prometheus.yml");
    let text = std::fs::read_to_string(&original)
        .map_err(|e| format!("cannot read {}: {e}", original.display()))?;
    let read: Config =
        serde_yaml::from_str(&text).map_err(|e| format!("{}: {e}", original.display()))?;
    let [ScrapeConfig { job_name }] = read.scrape_configs.as_slice() else {
        return Err("expected one job in configs/prometheus.yml".to_owned());
    };
    let target = served.api.trim_start_matches("http://");
    let rules = queries::RULE_FILES.map(|file| workspace::root().join(file).display().to_string());
    let rules = rules.join(", ");
    let derived = text
        .replace("localhost:8000", target)
        .replace(
            "scrape_interval: 15s",
            &format!("scrape_interval: {SCRAPE}"),
        )
        .replace("[alerts.yml, slo.yml]", &format!("[{rules}]"));
    let global = format!("global:\n  evaluation_interval: {SCRAPE}\n{derived}");
    for expected in [target, SCRAPE, &rules, job_name] {
        if !global.contains(expected) {
            return Err(format!("configs/prometheus.yml: cannot insert {expected}"));
        }
    }
    let file = scratch.join("prometheus.yml");
    std::fs::write(&file, global).map_err(|e| format!("cannot write {}: {e}", file.display()))?;
    Ok(file)
}
