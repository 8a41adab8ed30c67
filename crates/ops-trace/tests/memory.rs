//! Costs of spans, lines and metrics while the collector does not work: allocations, and memory that stays allocated.
//! Waits are measured in `waits.rs`, with an allocator in which threads do not wait for each other.
//!
//! The allocator counts for the whole process, so this is one sequence and does not use the test harness.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "tests")]

use std::alloc::System;
use std::io::Write;
use std::time::{Duration, Instant};

use http::{Method, Request};
use ops_http::{Ending, Observe, Outcome, Route};
use ops_trace::http::ServerSpans;
use ops_trace::testing::{Answer, Collector};
use ops_trace::{Config, LogLines, Metric, MetricsBatch, SignalStats, Tracer, span};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// One less than the number of spans that wakes the export thread.
const BELOW_A_BATCH: usize = 511;

/// Tolerated growth between beginning and end: one trace in the ring may be larger than another.
const FLAT_BYTES: isize = 128 * 1024;

/// Timeout for memory that the collector in this process frees late.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let started = Instant::now();
    kinds_of_requests_in_turn_allocate_as_one_does();
    a_burst_leaves_no_large_buffers_behind();
    let modes = [
        ("accepts", Some(Answer::Accept)),
        ("refused", None),
        ("hangs", Some(Answer::Hang)),
        ("slow", Some(Answer::AcceptAfter(Duration::from_millis(30)))),
        ("503 for ever", Some(Answer::Status(503))),
        ("404", Some(Answer::Status(404))),
    ]
    .map(|(name, answer)| Mode::new(name, answer));
    // first the measurements for which all other threads of this process have to sleep
    let asleep: Vec<_> = modes.iter().map(ending_allocates_nothing).collect();
    drop(asleep);
    modes.iter().for_each(live_bytes_are_flat);
    modes.iter().for_each(lines_and_metrics_are_flat);
    println!("ok, in {:.1?}", started.elapsed());
}

/// Requests that differ by their method share the data of their kind, in any order, and on whichever thread their route
/// was matched: each thread has its own text of the route.
fn kinds_of_requests_in_turn_allocate_as_one_does() {
    let config = config("http://127.0.0.1:1").export_delay(Duration::from_secs(60));
    let config = config.environment([("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2048")]);
    let tracer = Tracer::new(config).unwrap();
    let spans = ServerSpans::new().handle(tracer.handle());
    let serve = |(method, route): (&Method, &Route)| {
        let request = Request::builder().method(method).uri("/orders/7");
        let request = request.body(()).unwrap();
        let scope = spans.start(&mut request.into_parts().0);
        let (route, took) = (Some(route.clone()), Duration::ZERO);
        let outcome = Outcome::new(method.clone(), route, 200, Ending::Complete, took);
        spans.end(scope, &outcome);
    };
    let routes: Vec<_> = (0..100).map(|_| Route::new("/orders/{id}")).collect();
    let allocations = |methods: [Method; 3]| {
        let region = Region::new(ALLOCATOR);
        for route in &routes {
            methods.iter().for_each(|method| serve((method, route)));
        }
        region.change().allocations
    };
    let three_kinds = || allocations([Method::GET, Method::POST, Method::PUT]);
    three_kinds();
    let one = allocations([Method::GET, Method::GET, Method::GET]);
    let three = three_kinds();
    println!("300 requests: {one} allocations, {three} of three kinds");
    assert!(three < one + 100, "{one} and {three}");
}

/// Number of spans of a burst.
const BURST: usize = 20_000;
/// Maximum memory that stays allocated after a burst, including the ring of recent traces.
const STAYS_BYTES: isize = 2 * 1024 * 1024;

fn a_burst_leaves_no_large_buffers_behind() {
    let config = config("http://127.0.0.1:1").export_delay(Duration::from_secs(60));
    let variables = [("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "32768")];
    let config = config.queue_spans(32_768).environment(variables);
    let tracer = Tracer::new(config).unwrap();
    let before = live_bytes();
    (0..BURST).for_each(|n| drop(span!(tracer: tracer, "burst", n = n)));
    let waiting = live_bytes() - before;
    tracer.flush();
    assert_eq!(tracer.stats().queued, 0);
    let stays = live_bytes() - before;
    println!("{BURST} spans: {waiting} bytes while they wait, {stays} bytes afterwards");
    assert!(stays < STAYS_BYTES, "{stays} of {waiting}");
}

struct Mode {
    name: &'static str,
    endpoint: String,
    collector: Collector,
}

impl Mode {
    fn new(name: &'static str, answer: Option<Answer>) -> Self {
        let collector = Collector::start().unwrap();
        let endpoint = match answer {
            Some(answer) => {
                collector.answer(answer);
                collector.endpoint()
            }
            None => "http://127.0.0.1:1".to_owned(),
        };
        Self {
            name,
            endpoint,
            collector,
        }
    }
}

fn config(endpoint: &str) -> Config {
    Config::new("memory")
        .endpoint(endpoint)
        .environment([("", ""); 0])
        .export_timeout(Duration::from_millis(100))
}

/// Measures while the export threads sleep, so that only the thread that ends the spans is counted.
fn ending_allocates_nothing(mode: &Mode) -> Tracer {
    let (name, asleep) = (mode.name, Duration::from_secs(60));
    let config = config(&mode.endpoint)
        .queue_spans(1024)
        .export_delay(asleep);
    let tracer = Tracer::new(config).unwrap();
    let make = |n: usize| -> Vec<_> {
        let spans = (0..n).map(|n| span!(tracer: tracer, "ending", n = n, text = "some text"));
        spans.collect()
    };
    // repeated until it is known whether the collector works
    for _ in 0..4 {
        drop(make(10));
        tracer.flush();
    }
    let end_them = || {
        let spans = make(BELOW_A_BATCH);
        let region = Region::new(ALLOCATOR);
        drop(spans);
        let change = region.change();
        let stats = tracer.stats();
        assert_eq!(stats.queued as usize, BELOW_A_BATCH, "{name}: {stats:?}");
        change
    };
    let mut queued = end_them();
    // a collector thread in this process may have allocated meanwhile: allocations of ending a span would repeat
    for _ in 0..20 {
        if (queued.allocations, queued.reallocations) != (0, 0) {
            tracer.flush();
            queued = end_them();
        }
    }
    println!(
        "{name}: {BELOW_A_BATCH} spans ended, {} allocations",
        queued.allocations
    );
    assert_eq!(
        (queued.allocations, queued.reallocations),
        (0, 0),
        "{name}: {queued:?}"
    );

    let end_late = || {
        let late = Tracer::new(crate::config(&mode.endpoint).export_delay(asleep)).unwrap();
        let handle = late.handle();
        let spans: Vec<_> = (0..500)
            .map(|n| span!(tracer: late, "late", n = n))
            .collect();
        late.shutdown_blocking(Duration::from_secs(1));
        let region = Region::new(ALLOCATOR);
        drop(spans);
        let change = region.change();
        assert_eq!(handle.stats().dropped_shutdown, 500);
        (change.allocations, change.reallocations)
    };
    let mut attempts = (0..20).map(|_| end_late());
    assert!(attempts.any(|of| of == (0, 0)), "{name}: late spans");
    tracer
}

fn live_bytes() -> isize {
    let stats = ALLOCATOR.stats();
    // growing and shrinking in place is already included in both
    stats.bytes_allocated as isize - stats.bytes_deallocated as isize
}

/// Maximum memory of a queue of this crate and a batch in the collector of this process, both in use.
const IN_FLIGHT_BYTES: isize = 4 * 1024 * 1024;

/// Asserts that after the first thousands of spans the allocated memory does not grow.
fn live_bytes_are_flat(mode: &Mode) {
    let (name, collector) = (mode.name, &mode.collector);
    let full = std::env::var_os("OPS_TEST_FULL").is_some();
    let config = config(&mode.endpoint).probe_after(Duration::from_millis(100));
    let tracer = Tracer::new(config.queue_spans(512)).unwrap();
    let round = || {
        for n in 0..2_000 {
            span!(tracer: tracer, "flat", n = n, text = "some text").in_scope(|_| {});
        }
        tracer.flush();
        collector.forget();
    };
    (0..10).for_each(|_| round());
    let take = || {
        let (before, mut most) = (live_bytes(), 0);
        for _ in 0..if full { 200 } else { 10 } {
            round();
            most = most.max(live_bytes() - before);
        }
        // the collector keeps spans that arrive late until `forget` is called
        let (started, mut more) = (Instant::now(), live_bytes() - before);
        while more > FLAT_BYTES && started.elapsed() < Duration::from_secs(10) {
            collector.forget();
            std::thread::yield_now();
            more = live_bytes() - before;
        }
        (more, most)
    };
    // on a busy machine a connection closed at the beginning may have buffers at the end; a leak grows every time
    let is_flat = |(more, most): (isize, isize)| more <= FLAT_BYTES && most <= IN_FLIGHT_BYTES;
    let (mut more, mut most) = take();
    for _ in 0..5 {
        if is_flat((more, most)) {
            break;
        }
        (more, most) = take();
    }
    let stats = tracer.stats();
    let ended = stats.ended_sampled;
    println!("{name}: {ended} spans ended, {more} live bytes more, {most} at most meanwhile");
    assert!(is_flat((more, most)), "{name}: {more}, {most}");
    let sum = stats.exported + stats.rejected + stats.queued + stats.dropped();
    assert_eq!(ended, sum, "{name}: {stats:?}");
    tracer.shutdown_blocking(Duration::from_millis(10));
}

/// A log line as ops-log writes it.
const LINE: &str = concat!(
    r#"{"timestamp":"2025-01-15T10:30:00.123Z","level":"info","logger":"shop","event":"request_completed","#,
    r#""trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","path":"/users/7","status":200}"#,
    "\n"
);

/// Buffers of the client of one signal while its connection is open.
const CONNECTION_BYTES: isize = 272 * 1024;

fn fill(batch: &mut MetricsBatch) {
    for route in ["/users/{id}", "/orders", "/flights"] {
        let requests = Metric::new("requests", "requests", "");
        batch.counter(requests, &[("route", route)], 7);
    }
}

/// Returns the resident memory of this process in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Asserts that after the first thousands of lines and pushed
/// metrics the allocated memory does not grow; all are counted.
fn lines_and_metrics_are_flat(mode: &Mode) {
    let (name, collector) = (mode.name, &mode.collector);
    let full = std::env::var_os("OPS_TEST_FULL").is_some();
    let mut lines = LogLines::new();
    let config = config(&mode.endpoint)
        .environment([
            ("OTEL_LOGS_EXPORTER", "otlp"),
            ("OTEL_METRICS_EXPORTER", "otlp"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
        ])
        .probe_after(Duration::from_millis(100))
        .log_lines(&lines)
        .metrics_source(fill);
    let tracer = Tracer::new(config).unwrap();
    let mut round = || {
        for _ in 0..2_000 {
            lines.write_all(LINE.as_bytes()).unwrap();
        }
        tracer.flush();
        collector.forget();
    };
    let settle = || {
        let started = Instant::now();
        let is_busy = || tracer.log_stats().unwrap().queued > 0;
        while is_busy() && started.elapsed() < PATIENCE {
            tracer.flush();
        }
        collector.forget();
    };
    (0..10).for_each(|_| round());
    settle();
    let (before, resident_before) = (live_bytes(), resident());
    for _ in 0..if full { 1_000 } else { 20 } {
        round();
    }
    settle();
    let limit = FLAT_BYTES + 2 * CONNECTION_BYTES;
    let (started, mut more) = (Instant::now(), live_bytes() - before);
    while more > limit && started.elapsed() < PATIENCE {
        collector.forget();
        std::thread::yield_now();
        more = live_bytes() - before;
    }
    let (written, pushed) = (tracer.log_stats().unwrap(), tracer.metric_stats().unwrap());
    println!(
        "{name}: {} lines and {} points, {more} live bytes more, resident {resident_before} and {} KiB",
        written.taken,
        pushed.taken,
        resident()
    );
    assert!(more <= limit, "{name}: {more}");
    let sum = |of: &SignalStats| of.exported + of.rejected + of.queued + of.dropped();
    assert_eq!(written.taken, sum(&written), "{name}: {written:?}");
    assert_eq!(pushed.taken, sum(&pushed), "{name}: {pushed:?}");
    tracer.shutdown_blocking(Duration::from_millis(10));
}
