//! Waits of the thread that ends spans while the collector does not work.
//!
//! The export thread frees memory that other threads allocated. In glibc these threads then
//! wait for each other, sometimes a hundred times in 100,000 spans, which says nothing about
//! this crate: this process uses an allocator without such a lock.

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
        // another thread may hold a lock of the channel for a moment, longer
        // if it is preempted; waiting for an export would happen every time
        let few = |waited: Option<u64>| waited.is_none_or(|waited| waited <= SPANS / 1000);
        let mut attempts = (0..10).map(|_| waits_of_ending(name, &endpoint));
        assert!(attempts.any(few), "{name} waits each time");
    }
}

const SPANS: u64 = 100_000;

/// Returns how often the kernel suspended this thread to wait
/// for something; `None` on a system that does not report it.
fn waits_of_ending(name: &str, endpoint: &str) -> Option<u64> {
    let config = Config::new("waits")
        .endpoint(endpoint)
        .environment([("", ""); 0])
        .export_timeout(Duration::from_millis(100));
    let tracer = Tracer::new(config.queue_spans(4096)).unwrap();
    let mut longest = Duration::ZERO;
    let before = waits();
    for n in 0..SPANS {
        let span = span!(tracer: tracer, "waits", n = n);
        let started = Instant::now();
        drop(span);
        longest = longest.max(started.elapsed());
    }
    let waited = before.and_then(|before| Some(waits()? - before));
    println!("{name}: {SPANS} spans ended, {waited:?} waits, the longest took {longest:.1?}");
    tracer.shutdown_blocking(Duration::from_millis(10));
    waited
}

fn waits() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/thread-self/status").ok()?;
    let line = status
        .lines()
        .find(|line| line.starts_with("voluntary_ctxt_switches"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
