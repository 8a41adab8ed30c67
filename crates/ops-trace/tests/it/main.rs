//! Each test has its own tracer and collector, so that tests run in parallel.

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

/// Timeout for events that happen at once or never.
const SOON: Duration = Duration::from_secs(60);

/// Returns a configuration that ignores the variables of this process.
/// Spans are exported only on flush, not while a batch is filled.
fn config(endpoint: &str) -> Config {
    Config::new("it")
        .endpoint(endpoint)
        .export_delay(2 * SOON)
        .environment([("", ""); 0])
}

/// Returns an address without a listener, reserved while the connection is held, so that no other test gets it.
fn closed() -> (String, TcpStream) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let held = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (format!("http://{}", held.local_addr().unwrap()), held)
}

/// Flushes until nothing is pending: a single `flush` gives up after five seconds.
fn flush_all(tracer: &Tracer) {
    let started = Instant::now();
    tracer.flush();
    while tracer.stats().queued > 0 {
        assert!(started.elapsed() < SOON, "{:?}", tracer.stats());
        tracer.flush();
    }
}

/// Measures until a time is within the limit: an error exceeds it every time, a busy machine does not.
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
    // no batch is lost because this machine pauses during its export
    let config = config(&collector.endpoint()).export_timeout(SOON);
    let tracer = Tracer::new(config).unwrap();
    (collector, tracer)
}

/// Asserts that every span that ended is accounted for.
fn assert_balanced(stats: &Stats) {
    let sum = stats.exported + stats.rejected + stats.queued + stats.dropped();
    assert_eq!(stats.ended_sampled, sum, "{stats:?}");
}
