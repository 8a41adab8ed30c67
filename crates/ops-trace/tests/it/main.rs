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
mod metrics_source;
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

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use ops_trace::testing::Collector;
use ops_trace::{Config, Stats, Tracer};

/// For what comes at once or never.
const SOON: Duration = Duration::from_secs(60);

/// A configuration that no variable of this process changes. Spans are sent when a test says so, and not in the middle of a batch.
fn config(endpoint: &str) -> Config {
    Config::new("it")
        .endpoint(endpoint)
        .export_delay(2 * SOON)
        .environment([("", ""); 0])
}

/// An address at which nobody listens for as long as the connection is held; no other test has it.
fn closed() -> (String, TcpStream) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let held = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (format!("http://{}", held.local_addr().unwrap()), held)
}

/// Sends what waits, however long that takes: one call of `flush` gives up after five seconds.
fn flush_all(tracer: &Tracer) {
    let started = Instant::now();
    tracer.flush();
    while tracer.stats().queued > 0 {
        assert!(started.elapsed() < SOON, "{:?}", tracer.stats());
        tracer.flush();
    }
}

/// Takes a time until it is below the limit: what is wrong is so each time, what a busy machine adds is not.
fn assert_within(limit: Duration, mut take: impl FnMut() -> Duration) {
    let mut times = Vec::new();
    while times.len() < 20 {
        let took = take();
        assert!(took < SOON, "{took:?}");
        if took < limit {
            return;
        }
        times.push(took);
    }
    panic!("never within {limit:?}: {times:?}");
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
