//! Waits of the thread that ends spans while the collector does not work.
//!
//! The export thread gives memory back that other threads took. In glibc they wait for each other then, now and then a
//! hundred times in 100,000 spans, which says nothing about this crate: this process has an allocator without such a lock.

#![cfg(target_os = "linux")]
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use ops_trace::testing::{Answer, Collector};
use ops_trace::{Config, Tracer, span};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[test]
fn a_thread_that_ends_spans_waits_for_nobody() {
    let modes = [
        ("accepts", Some(Answer::Accept)),
        ("refused", None),
        ("hangs", Some(Answer::Hang)),
        ("slow", Some(Answer::AcceptAfter(Duration::from_millis(30)))),
        ("503 for ever", Some(Answer::Status(503))),
        ("404", Some(Answer::Status(404))),
    ];
    for (name, answer) in modes {
        let collector = Collector::start().unwrap();
        let endpoint = match answer {
            Some(answer) => {
                collector.answer(answer);
                collector.endpoint()
            }
            None => "http://127.0.0.1:1".to_owned(),
        };
        ending_does_not_wait(name, &endpoint);
    }
}

/// The kernel counts each time this thread gives up the processor to wait for something.
fn ending_does_not_wait(name: &str, endpoint: &str) {
    let Some(before) = waits() else {
        println!("{name}: this system does not say how often a thread waited");
        return;
    };
    let config = Config::new("waits")
        .endpoint(endpoint)
        .environment([("", ""); 0])
        .export_timeout(Duration::from_millis(100));
    let tracer = Tracer::new(config.queue_spans(4096)).unwrap();
    let spans = 100_000;
    let mut longest = Duration::ZERO;
    let started_waits = waits().unwrap_or(before);
    for n in 0..spans {
        let span = span!(tracer: tracer, "waits", n = n);
        let started = Instant::now();
        drop(span);
        longest = longest.max(started.elapsed());
    }
    let waited = waits().unwrap_or(0) - started_waits;
    println!("{name}: {spans} spans ended, {waited} waits, the longest took {longest:.1?}");
    // another thread may hold a lock of the channel for a moment
    assert!(waited <= spans / 1000, "{name}: {waited} waits");
    tracer.shutdown_blocking(Duration::from_millis(10));
}

fn waits() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/thread-self/status").ok()?;
    let line = status
        .lines()
        .find(|line| line.starts_with("voluntary_ctxt_switches"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
