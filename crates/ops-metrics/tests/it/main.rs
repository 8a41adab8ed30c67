//! Public behavior, in one binary and one process: each test counts in its
//! own registry, or under its own labels if it needs the process's metrics.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::LazyLock;

mod buckets;
#[cfg(feature = "grpc")]
mod calls;
mod cases;
mod cgroup;
mod configs;
mod dependencies;
mod exemplars;
mod exposition;
mod facade;
mod guard;
mod history;
#[path = "../lines/mod.rs"]
mod lines;
mod lint;
#[cfg(feature = "rules")]
mod mutants;
#[cfg(feature = "rules")]
mod own_rules;
mod parsers;
mod process;
mod promtool;
#[cfg(feature = "http")]
mod requests;
mod round_trip;
#[cfg(feature = "rules")]
mod rules;
mod service;
mod testing;

/// Returns the value on the line that starts with `series`.
fn value(text: &str, series: &str) -> Option<f64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok())
}

/// Metrics of this process, which the first test that needs them installs.
static METRICS: LazyLock<()> =
    LazyLock::new(|| ops_metrics::init(ops_metrics::Config::new()).unwrap());

fn installed() {
    LazyLock::force(&METRICS);
}

/// Returns the exposition of the process.
fn rendered() -> String {
    installed();
    ops_metrics::render().unwrap()
}
