//! `cargo xtask perf history`: cost of the history for the service that keeps it.

use super::measure::{median, process_time, requests};
use super::paced;
use crate::platform::{self, Build, Served};
use crate::tools::{DATASETS, LIBDUCKDB};
use crate::{Result, setup};
use std::process::Stdio;
use std::time::Duration;

/// Pause between two loads.
const PAUSE: Duration = Duration::from_millis(500);
/// Time to write and merge waiting records after the last load.
const WRITTEN: Duration = Duration::from_secs(12);
/// Route that is served from the cache.
const PATH: &str = "/api/airports?near=37.6,-122.4&limit=10";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Number of pairs of measurements, without and with a history
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(2..))]
    rounds: u32,
    /// Duration of a measurement in seconds
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Requests per second
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Share of sampled traces, whose spans the history keeps
    #[arg(long, default_value_t = 0.01)]
    sampled: f64,
}

/// Prints costs and their goals. Fails if one is missed.
///
/// The cost of a round is the processor time per request from its start to the start of the next round of the same
/// platform, so that files written after the load are included.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure(&[LIBDUCKDB, DATASETS])?;
    let program = platform::build(Build::Release)?;
    let start = |dir: &str| {
        Served::prepared(&program, |program| {
            // log lines are rendered, and discarded here
            program
                .stdout(Stdio::null())
                .env("OTEL_TRACES_EXPORTER", "none")
                .env("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
                .env("OTEL_TRACES_SAMPLER_ARG", args.sampled.to_string())
                .env("OPS_HISTORY_DIR", dir);
        })
    };
    let served = [start("off")?, start("history")?];
    let lasts = Duration::from_secs(args.seconds);
    for one in &served {
        // fills the cache and warms up the code
        paced::ask(&one.api, PATH, args.rate, lasts)?;
        std::thread::sleep(PAUSE);
    }
    let (mut latency, mut marks) = (Vec::new(), [Vec::new(), Vec::new()]);
    for round in 0..args.rounds {
        let mut p95 = [0.0; 2];
        for (which, one) in served.iter().enumerate() {
            marks[which].push(Mark::of(one)?);
            let latencies = paced::ask(&one.api, PATH, args.rate, lasts)?;
            let at = latencies.len() * 95 / 100;
            p95[which] = latencies.get(at).copied().unwrap_or_default() * 1000.0;
            std::thread::sleep(PAUSE);
        }
        latency.push(p95[1] / p95[0]);
        println!("round {round}: p95 {:.3} and {:.3} ms", p95[0], p95[1]);
    }
    std::thread::sleep(WRITTEN);
    for (marks, one) in marks.iter_mut().zip(&served) {
        marks.push(Mark::of(one)?);
    }
    let costs = marks.each_ref().map(|marks| costs(marks));
    let mut ratios = Vec::new();
    for (round, (without, with)) in costs[0].iter().zip(&costs[1]).enumerate() {
        let (off, on) = (without * 1e6, with * 1e6);
        println!("round {round}: {off:.2} and {on:.2} µs of processor time a request");
        ratios.push(with / without);
    }
    let [off, on] = marks.each_ref().map(|marks| {
        let ends = marks.first().zip(marks.last());
        ends.map_or(f64::NAN, |(first, last)| first.cost_until(last))
    });
    println!(
        "all rounds: {:.2} and {:.2} µs of processor time a request, ratio {:.4}",
        off * 1e6,
        on * 1e6,
        on / off
    );
    let mut missed = Vec::new();
    for (what, ratios, goal) in [
        ("processor time per request", &mut ratios, 1.05),
        ("95th percentile", &mut latency, 1.03),
    ] {
        let [low, median, high] = median(ratios);
        println!(
            "history, {what}: ratio {median:.4}, 95 % from {low:.4} to {high:.4}, {} rounds at {} requests a second (goal {goal})",
            args.rounds, args.rate
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

/// Processor time and number of requests up to a point in time.
struct Mark {
    seconds: f64,
    requests: f64,
}

impl Mark {
    fn of(served: &Served) -> Result<Self> {
        Ok(Self {
            seconds: process_time(served)?.as_secs_f64(),
            requests: requests(served)?,
        })
    }

    /// Returns the processor time per request in seconds.
    fn cost_until(&self, later: &Self) -> f64 {
        (later.seconds - self.seconds) / (later.requests - self.requests)
    }
}

fn costs(marks: &[Mark]) -> Vec<f64> {
    let pairs = marks.windows(2);
    let costs = pairs.filter_map(|pair| Some(pair.first()?.cost_until(pair.last()?)));
    costs.collect()
}
