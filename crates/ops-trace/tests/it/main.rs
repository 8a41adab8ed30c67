//! Each test has a tracer and a collector of its own, so that they run in parallel.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests"
)]

mod answers;
mod attributes;
mod client;
mod configs;
mod db;
mod degradation;
mod environment;
mod exit;
mod formats;
mod http;
mod keep;
mod kinds;
mod lines;
mod metrics;
mod names;
mod propagation;
mod python;
mod recent;
mod resource;
mod rotel;
mod runtimes;
mod sampling;
mod served;
mod signals;
mod spans;
mod tls;
mod unsampled;
mod unusable;
mod w3c;

use std::time::Duration;

use ops_trace::testing::Collector;
use ops_trace::{Config, Stats, Tracer};

/// For what comes at once or never.
const SOON: Duration = Duration::from_secs(20);

/// A configuration that no variable of this process changes.
fn config(endpoint: &str) -> Config {
    Config::new("it")
        .endpoint(endpoint)
        .environment([("", ""); 0])
}

fn traced() -> (Collector, Tracer) {
    let collector = Collector::start().unwrap();
    let tracer = Tracer::new(config(&collector.endpoint())).unwrap();
    (collector, tracer)
}

/// Every span that ended is accounted for.
fn assert_balanced(stats: &Stats) {
    let sum = stats.exported + stats.rejected + stats.queued + stats.dropped();
    assert_eq!(stats.ended_sampled, sum, "{stats:?}");
}
