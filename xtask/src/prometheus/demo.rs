//! `cargo xtask serve --demo --check`: two minutes of the demo's traffic with a Prometheus, and the results.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{EMPTY, OVERVIEW, Prometheus, RANGE, file_name};
use crate::platform::{self, Build, Served};
use crate::promql::queries;
use crate::tools::{DATASETS, LIBDUCKDB, PROMETHEUS};
use crate::workspace::{self, Scratch};
use crate::{Result, demo, setup};

/// Duration of the traffic.
const LASTS: Duration = Duration::from_secs(120);
/// Seconds between two points of a panel, which has 25 of them.
const STEP: u64 = 5;
/// Metrics whose value is a state; all others have to grow.
const STATES: [&str; 3] = [
    "cache_size_bytes",
    "registry_models_total",
    "registry_datasets_total",
];

pub(crate) fn check() -> Result<()> {
    setup::ensure(&[LIBDUCKDB, DATASETS, PROMETHEUS])?;
    let folder = setup::folder_of(PROMETHEUS)
        .ok_or("Prometheus is missing; `cargo xtask setup` shows why")?;
    let served = Served::traced(&platform::build(Build::Plain)?, &super::collector::start()?)?;
    let faults = watch(&folder, &served)?;
    served.stop()?;
    for fault in &faults {
        println!("  {fault}");
    }
    match faults.len() {
        0 => Ok(()),
        count => Err(format!(
            "{count} metrics or panels have no data after the demo"
        )),
    }
}

fn watch(prometheus: &Path, served: &Served) -> Result<Vec<String>> {
    let scratch = Scratch::new("demo")?;
    let server = Prometheus::start(prometheus, served, &scratch)?;
    server.wait_for_scrape()?;
    let mut before = Vec::new();
    for (name, end) in OVERVIEW {
        before.push(total(&server, name, end)?);
    }
    let began = now();
    let host = served.api.trim_start_matches("http://");
    demo::generate(
        host,
        &served.folder.join("datasets"),
        Instant::now() + LASTS,
    )?;
    server.wait_for_scrape()?;
    let mut faults = Vec::new();
    println!("metric, before the demo, after it:");
    for ((name, end), before) in OVERVIEW.into_iter().zip(before) {
        let after = total(&server, name, end)?;
        println!("  {name}{end} {before} {after}");
        let has_value = after > 0.0 && (after > before || STATES.contains(&name));
        if !has_value {
            faults.push(format!(
                "{name} has no value from the demo: {before}, {after}"
            ));
        }
    }
    faults.extend(panels(&server, began)?);
    Ok(faults)
}

fn now() -> u64 {
    // with a clock before 1970 all panels are empty
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// Returns the sum over all series; 0 without any.
fn total(server: &Prometheus, name: &str, end: &str) -> Result<f64> {
    Ok(server.api.query(&format!("sum({name}{end})"))?.iter().sum())
}

/// Prints for each panel its number of series, and of points that are numbers; returns the empty panels.
fn panels(server: &Prometheus, began: u64) -> Result<Vec<String>> {
    let (mut faults, ended) = (Vec::new(), now());
    println!("panel, series, points in {} s:", ended - began);
    for file in queries::dashboards(&workspace::root()) {
        let text = std::fs::read_to_string(&file)
            .map_err(|e| format!("cannot read {}: {e}", file.display()))?;
        let dashboard =
            serde_json::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))?;
        for query in queries::of_dashboard(&file, &dashboard, RANGE) {
            let (series, points) = server.api.drawn(&query.text, began, ended, STEP)?;
            let place = format!("{}, {}", file_name(&file), query.name);
            println!("  {place}: {series} {points}");
            if points == 0 && !EMPTY.contains(&query.name.as_str()) {
                faults.push(format!("{place} has no data: {}", query.text));
            }
        }
    }
    Ok(faults)
}
