//! Start, spans and shutdown on every kind of runtime, and without one.

use std::time::{Duration, Instant};

use ops_trace::testing::{Answer, Collector};
use ops_trace::{Tracer, span};
use tokio::runtime::{Builder, Runtime};

use crate::{SOON, assert_balanced, assert_within, config};

const BUDGET: Duration = Duration::from_millis(500);

/// Budget plus the time that a busy machine may need.
const LIMIT: Duration = Duration::from_millis(1500);

fn runtimes() -> Vec<(&'static str, Runtime)> {
    // none of them has timers or I/O
    let current = Builder::new_current_thread().build().unwrap();
    let multi = Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let one = Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(1)
        .build()
        .unwrap();
    vec![
        ("current thread", current),
        ("multi thread", multi),
        ("one worker", one),
    ]
}

async fn life(endpoint: String, budget: Duration) -> (ops_trace::Stats, Duration) {
    let tracer = Tracer::new(config(&endpoint)).unwrap();
    span!(tracer: tracer, "parent")
        .instrument(async {
            let handle = tracer.handle();
            ops_trace::spawn(async move { drop(span!(tracer: handle, "task")) })
                .await
                .unwrap();
            let handle = tracer.handle();
            ops_trace::spawn_blocking(move || drop(span!(tracer: handle, "blocking")))
                .await
                .unwrap();
        })
        .await;
    let started = Instant::now();
    (tracer.shutdown(budget).await, started.elapsed())
}

#[test]
fn init_spans_and_shutdown_work_on_every_runtime() {
    for (name, runtime) in runtimes() {
        let collector = Collector::start().unwrap();
        // inside a task, so that a worker runs it
        let life = runtime.spawn(life(collector.endpoint(), SOON));
        let (stats, _) = runtime.block_on(life).unwrap();
        assert_balanced(&stats);
        assert_eq!(stats.exported, 3, "{name}");
        assert_eq!(
            collector.snapshot(),
            "parent\n  task\n  blocking\n",
            "{name}"
        );
    }
}

#[test]
fn shutdown_keeps_its_budget_on_every_runtime_when_the_collector_hangs() {
    for (name, runtime) in runtimes() {
        let collector = Collector::start().unwrap();
        collector.answer(Answer::Hang);
        assert_within(LIMIT, || {
            let life = runtime.spawn(life(collector.endpoint(), BUDGET));
            let (stats, took) = runtime.block_on(life).unwrap();
            assert_balanced(&stats);
            assert_eq!((stats.exported, stats.queued), (0, 0), "{name}: {stats:?}");
            took
        });
    }
}

#[test]
fn without_a_runtime_it_works_the_same() {
    let collector = Collector::start().unwrap();
    let tracer = Tracer::new(config(&collector.endpoint())).unwrap();
    drop(span!(tracer: tracer, "a"));
    let stats = tracer.shutdown_blocking(SOON);
    assert_balanced(&stats);
    assert_eq!(collector.snapshot(), "a\n");
}

#[test]
fn dropping_the_tracer_sends_what_waits_and_does_not_block_a_runtime() {
    let collector = Collector::start().unwrap();
    let tracer = Tracer::new(config(&collector.endpoint())).unwrap();
    drop(span!(tracer: tracer, "a"));
    drop(tracer);
    assert_eq!(collector.snapshot(), "a\n");

    for (_, runtime) in runtimes() {
        let collector = Collector::start().unwrap();
        collector.answer(Answer::Hang);
        let end = async || {
            let tracer = Tracer::new(config(&collector.endpoint())).unwrap();
            drop(span!(tracer: tracer, "a"));
            let started = Instant::now();
            drop(tracer);
            started.elapsed()
        };
        assert_within(Duration::from_secs(1), || runtime.block_on(end()));
    }
}

#[test]
fn init_takes_no_time_even_if_the_collector_cannot_be_reached() {
    for endpoint in [
        "http://10.255.255.1:4318",
        "http://no-such-host.invalid:4318",
    ] {
        assert_within(Duration::from_secs(2), || {
            let started = Instant::now();
            let tracer = Tracer::new(config(endpoint)).unwrap();
            let took = started.elapsed();
            tracer.shutdown_blocking(Duration::from_millis(1));
            took
        });
    }
}
