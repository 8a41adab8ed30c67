//! `cargo xtask perf soak`: mixed load for minutes or hours, after which all counts have to agree and nothing may have
//! grown.

use super::k6;
use super::measure::{status, total};
use super::pages::{Load, Pages};
use super::results;
use crate::platform::{self, Build, Served};
use crate::prometheus::Collector;
use crate::tools::{DATASETS, LIBDUCKDB, PYTHON};
use crate::workspace::{self, Scratch};
use crate::{Result, setup};
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, PipeReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Interval between two samples of the process.
const LOOK: Duration = Duration::from_secs(5);
/// Number of samples between two external changes: results are removed, a secret is replaced, the collector stops or
/// restarts.
const TURN: usize = 4;
/// Seconds after which usage has to be flat: until then caches fill.
const WARM: f64 = 300.0;
/// Maximum growth in percent between the first and last third of the time after that.
const GROWTH_MAX: f64 = 10.0;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Duration of the load in minutes
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// Use a debug build, whose figures are less meaningful
    #[arg(long)]
    debug: bool,
}

/// Builds the program, and runs the load.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure(&[LIBDUCKDB, DATASETS, PYTHON])?;
    let build = if args.debug {
        Build::Plain
    } else {
        Build::Release
    };
    soak(&platform::build(build)?, args.minutes)
}

/// Memory, descriptors, threads and disk usage of a process at one time.
#[derive(Clone, Copy, Debug)]
struct Look {
    seconds: f64,
    memory_kib: u64,
    descriptors: u64,
    threads: u64,
    disk_kib: u64,
}

/// Loads the program for this many minutes. Fails if counts disagree or usage grew.
pub(crate) fn soak(program: &Path, minutes: u64) -> Result<()> {
    let python = setup::folder_of(PYTHON).ok_or("k6 is missing; `cargo xtask setup` shows why")?;
    let scratch = Scratch::new("soak")?;
    let secrets = scratch.path().join("secrets");
    fs::create_dir_all(&secrets)
        .map_err(|e| format!("cannot create {}: {e}", secrets.display()))?;
    let configs = small_caches(scratch.path())?;
    let collector = Collector::start()?;
    let (lines, output) = counted_lines()?;
    let served = Served::prepared(program, |program| {
        program
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
            .env("OPS_LOG_FORMAT", "json")
            .env("OPS_SECRETS_FOLDER", &secrets)
            .env("KEARNEY_CONFIG_DIR", &configs)
            .stdout(output);
    })?;
    let summary = scratch.path().join("k6.json");
    let mut k6 = k6::program(&python, &served.api);
    k6.args(["--no-thresholds", "-e", &format!("HOLD={minutes}m")])
        .arg("--summary-export")
        .arg(&summary)
        .arg("perf/api/load_test.js")
        .stdout(Stdio::null());
    let before = settled(&served)?;
    let received = collector.spans();
    let mut load = Load::start(&mut k6)?;
    let page = Pages::open(&served, 1)?;
    let (started, mut looks) = (Instant::now(), Vec::new());
    let ended = loop {
        std::thread::sleep(LOOK);
        let look = look(&served, started.elapsed().as_secs_f64())?;
        println!("{look:?}");
        looks.push(look);
        if looks.len().is_multiple_of(TURN) {
            let turn = looks.len() / TURN;
            fs::write(secrets.join("mapbox_token"), format!("token-{turn}"))
                .map_err(|e| format!("cannot replace the secret: {e}"))?;
            invalidate(&served)?;
            collector.set_up(turn % 3 != 1);
        }
        if let Some(status) = load.ended()? {
            break status;
        }
    };
    collector.set_up(true);
    let is_closed = page.closed_early();
    drop(page);
    let after = settled(&served)?;
    let sent = sent(&summary)?;
    served.stop()?;
    // the output of the process ends with it
    let lines = lines.join().map_err(|_| "panicked while counting lines")?;
    let counts = Counts {
        sent,
        answered: after.requests - before.requests,
        lines,
        queries: after.queries - before.queries,
        exported: after.exported - before.exported,
        dropped: after.dropped - before.dropped,
        received: collector.spans() - received,
    };
    println!("{counts:#?}");
    let file = write_looks(&looks)?;
    println!("memory, descriptors, threads and disk: {}", file.display());
    let mut wrong = counts.wrong();
    wrong.extend(grown(&looks));
    if !ended.success() {
        wrong.push(format!("k6 ended with {ended}"));
    }
    if is_closed {
        wrong.push("the stream of the page ended while it was read".to_owned());
    }
    if wrong.is_empty() {
        println!("all counts match");
        return Ok(());
    }
    Err(wrong.join("; "))
}

/// Counts that have to agree at the end.
#[derive(Debug)]
struct Counts {
    /// Requests for which k6 got a response.
    sent: u64,
    answered: u64,
    /// Access lines on standard output.
    lines: u64,
    /// Queries by the engine or by the cache, each of which has a span in addition to those of the requests.
    queries: u64,
    /// Spans by outcome.
    exported: u64,
    dropped: u64,
    /// Spans in the export requests that the collector accepted.
    received: u64,
}

impl Counts {
    fn wrong(&self) -> Vec<String> {
        let pairs = [
            (
                "requests that were sent and those in the metrics",
                self.sent,
                self.answered,
            ),
            (
                "requests that were sent and their lines",
                self.sent,
                self.lines,
            ),
            (
                "requests with queries and spans exported or dropped",
                self.sent + self.queries,
                self.exported + self.dropped,
            ),
            (
                "spans exported and those that the collector has",
                self.exported,
                self.received,
            ),
        ];
        let wrong = pairs.iter().filter(|(_, a, b)| a != b);
        wrong
            .map(|(what, a, b)| format!("{what} differ: {a} and {b}"))
            .collect()
    }
}

/// Counts of the service's own metrics.
struct Counted {
    requests: u64,
    queries: u64,
    waiting: u64,
    exported: u64,
    dropped: u64,
}

fn counted(served: &Served) -> Result<Counted> {
    let metrics = served.get("/metrics")?;
    let sum = |name, of: &dyn Fn(&str) -> bool| total(&metrics, name, of) as u64;
    let quiet =
        ["/metrics", "/readyz", "/healthz", "/livez"].map(|route| format!("route=\"{route}\""));
    Ok(Counted {
        requests: sum("http_requests_total", &|labels| {
            !quiet.iter().any(|quiet| labels.contains(quiet))
        }),
        queries: sum("duckdb_query_seconds_count", &|_| true)
            + sum("cache_hits_total", &|labels| {
                labels.contains("cache_type=\"query\"")
            }),
        waiting: sum("trace_queue_length", &|_| true),
        exported: sum("trace_spans_exported_total", &|_| true),
        dropped: sum("trace_spans_dropped_total", &|_| true),
    })
}

/// Creates a folder with the configuration of the service, with caches small enough to be full before usage is judged:
/// growth after that is not due to a cache.
fn small_caches(scratch: &Path) -> Result<PathBuf> {
    let (from, to) = (workspace::root().join("configs"), scratch.join("configs"));
    fs::create_dir_all(&to).map_err(|e| format!("cannot create {}: {e}", to.display()))?;
    let read = |name: &str| {
        let file = from.join(name);
        fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))
    };
    results::write(&to.join("secrets.yaml"), &read("secrets.yaml")?)?;
    let text = read("cache.yaml")?;
    let small = smaller(&text).ok_or("configs/cache.yaml has no line `  max_size_mb: ...`")?;
    results::write(&to.join("cache.yaml"), &small)?;
    Ok(to)
}

/// Returns the settings of a cache with other limits; `None` if they have no limit.
fn smaller(settings: &str) -> Option<String> {
    let is_limit = |line: &str| line.starts_with("  max_size_mb:");
    settings.lines().any(is_limit).then(|| {
        let lines = settings.lines().map(|line| match line {
            line if is_limit(line) => "  max_size_mb: 64\n  memory_mb: 64\n".to_owned(),
            line => format!("{line}\n"),
        });
        lines.collect()
    })
}

/// Waits until no span is waiting for export.
fn settled(served: &Served) -> Result<Counted> {
    let (since, mut before) = (Instant::now(), u64::MAX);
    loop {
        let found = counted(served)?;
        let (waiting, seen) = (found.waiting, found.exported + found.dropped);
        if waiting == 0 && seen == before {
            return Ok(found);
        }
        if since.elapsed() > Duration::from_secs(90) {
            return Err(format!("{waiting} spans are still pending"));
        }
        before = seen;
        // longer than spans wait for a batch
        std::thread::sleep(Duration::from_secs(3));
    }
}

/// Counts the access lines written to a pipe, in a separate thread.
fn counted_lines() -> Result<(std::thread::JoinHandle<u64>, std::io::PipeWriter)> {
    let (reader, writer) = std::io::pipe().map_err(|e| format!("cannot create a pipe: {e}"))?;
    let count = |reader: PipeReader| {
        let lines = BufReader::new(reader).lines();
        let lines = lines.map_while(std::result::Result::ok);
        lines
            .filter(|line| line.contains("\"request_completed\""))
            .count() as u64
    };
    Ok((std::thread::spawn(move || count(reader)), writer))
}

fn sent(summary: &Path) -> Result<u64> {
    let failed = |e: String| format!("{}: {e}", summary.display());
    let text = fs::read_to_string(summary).map_err(|e| failed(e.to_string()))?;
    let json: serde_json::Value = serde_json::from_str(&text).map_err(|e| failed(e.to_string()))?;
    let count = json
        .pointer("/metrics/http_reqs/count")
        .and_then(serde_json::Value::as_u64);
    count.ok_or_else(|| failed("missing number of requests".to_owned()))
}

fn invalidate(served: &Served) -> Result<()> {
    let host = served.admin.trim_start_matches("http://");
    let body = r#"{"table":"flights","why":"soak"}"#;
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(host)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(
            stream,
            "POST /api/cache/invalidate HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/json\r\nX-Ops-Admin: 1\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().map_err(|e| format!("POST {}/api/cache/invalidate: {e}", served.admin))?;
    match answer.contains(" 200 ") {
        true => Ok(()),
        false => Err(format!("POST /api/cache/invalidate: {answer}")),
    }
}

fn look(served: &Served, seconds: f64) -> Result<Look> {
    let folder = format!("/proc/{}/fd", served.id());
    let descriptors = fs::read_dir(&folder).map_err(|e| format!("{folder}: {e}"))?;
    Ok(Look {
        seconds,
        memory_kib: status(served.id(), "VmRSS:")?,
        descriptors: descriptors.count() as u64,
        threads: status(served.id(), "Threads:")?,
        disk_kib: bytes_of(&served.folder) / 1024,
    })
}

/// Returns the bytes of all files below a folder.
fn bytes_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(status) if status.is_dir() => bytes_of(&entry.path()),
            Ok(status) => status.len(),
            // removed meanwhile
            Err(_) => 0,
        })
        .sum()
}

fn write_looks(looks: &[Look]) -> Result<PathBuf> {
    let mut text = "seconds,memory_kib,descriptors,threads,disk_kib\n".to_owned();
    for look in looks {
        let _ = writeln!(
            text,
            "{:.0},{},{},{},{}",
            look.seconds, look.memory_kib, look.descriptors, look.threads, look.disk_kib
        );
    }
    let path = results::folder()?.join("soak.csv");
    results::write(&path, &text)?;
    Ok(path)
}

/// Returns the values that are larger at the end than after warm-up. The disk is excluded: its limits are far above
/// what a run writes.
fn grown(looks: &[Look]) -> Vec<String> {
    let all = looks.last().map_or(0.0, |look| look.seconds);
    let warm: Vec<_> = looks.iter().filter(|look| look.seconds >= WARM).collect();
    let third = warm.len() / 3;
    let (Some(first), Some(last)) = (warm.get(..third), warm.get(warm.len() - third..)) else {
        return Vec::new();
    };
    if all < 2.0 * WARM {
        println!(
            "growth is checked only in runs of at least {:.0} minutes",
            2.0 * WARM / 60.0
        );
        return Vec::new();
    }
    let median = |looks: &[&Look], of: fn(&Look) -> u64| {
        let mut values: Vec<_> = looks.iter().map(|look| of(look)).collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied().unwrap_or(0) as f64
    };
    let mut grown = Vec::new();
    for (what, before, after) in [
        (
            "memory",
            median(first, |look| look.memory_kib),
            median(last, |look| look.memory_kib),
        ),
        (
            "descriptors",
            median(first, |look| look.descriptors),
            median(last, |look| look.descriptors),
        ),
        (
            "threads",
            median(first, |look| look.threads),
            median(last, |look| look.threads),
        ),
    ] {
        println!("{what}: {before} in the first third, {after} in the last one");
        if after > before * (1.0 + GROWTH_MAX / 100.0) {
            grown.push(format!("{what} grew from {before} to {after}"));
        }
    }
    grown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_a_cache_is_replaced_and_nothing_else() {
        let settings = "a:\n  max_size_mb: 1000  # 1 GB\n  other: 1\n";
        let small = "a:\n  max_size_mb: 64\n  memory_mb: 64\n  other: 1\n";
        assert_eq!(smaller(settings).as_deref(), Some(small));
        assert_eq!(smaller("a:\n  max_size: 1000\n"), None);
    }

    fn looks(memory: impl Fn(u64) -> u64) -> Vec<Look> {
        let look = |at: u64| Look {
            seconds: at as f64 * 5.0,
            memory_kib: memory(at),
            descriptors: 40,
            threads: 12,
            disk_kib: at,
        };
        (1..=240).map(look).collect()
    }

    #[test]
    fn what_grows_after_the_warm_up_is_reported_and_what_grew_before_is_not() {
        assert_eq!(grown(&looks(|at| 1000 + 100 * at.min(60))), [""; 0]);
        assert_eq!(grown(&looks(|at| 1000 + 20 * at)[..100]), [""; 0]);
        let problems = grown(&looks(|at| 1000 + 20 * at));
        assert!(
            problems.len() == 1 && problems[0].starts_with("memory grew"),
            "{problems:?}"
        );
    }

    #[test]
    fn counts_that_differ_are_named() {
        let right = Counts {
            sent: 5,
            answered: 5,
            lines: 5,
            queries: 4,
            exported: 7,
            dropped: 2,
            received: 7,
        };
        assert_eq!(right.wrong(), [""; 0]);
        let wrong = Counts { lines: 4, ..right };
        assert_eq!(
            wrong.wrong(),
            ["requests that were sent and their lines differ: 5 and 4"]
        );
    }
}
