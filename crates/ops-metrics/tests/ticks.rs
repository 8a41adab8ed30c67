//! A process whose hooks of the ticker hang: apart from the others, whose hooks would wait for them.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

/// For what comes within seconds or never.
const SOON: Duration = Duration::from_secs(60);

fn wait_until(is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < SOON);
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_hook_that_hangs_is_told_once_and_costs_no_point_of_the_sparklines() {
    let warnings = warnings_of_process();
    ops_metrics::init(ops_metrics::Config::new()).unwrap();
    let told = || {
        let warnings = warnings.lock().unwrap();
        let hangs = warnings
            .iter()
            .filter(|line| line.contains("before_tick_hangs") && line.contains("limit_ms=2000 "));
        hangs.count()
    };
    let (call, calls) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let (call, released) = (Mutex::new(call), Mutex::new(released));
    ops_metrics::before_tick(move || {
        // once the test is over nobody listens, and nobody waits
        let _ = call.lock().unwrap().send(());
        let _ = released.lock().unwrap().recv();
    });
    calls.recv_timeout(SOON).unwrap();
    wait_until(|| told() > 0);
    let seconds = ops_metrics::history_seconds();
    wait_until(|| ops_metrics::history_seconds() > seconds + 1);
    assert!(calls.try_recv().is_err(), "not called while it hangs");
    release.send(()).unwrap();
    calls.recv_timeout(SOON).unwrap();
    assert_eq!(told(), 1);
}

/// Returns the warnings of all threads from now on. To be called once.
fn warnings_of_process() -> Arc<Mutex<Vec<String>>> {
    let lines = Lines::default();
    tracing::subscriber::set_global_default(lines.clone()).unwrap();
    lines.0
}

/// Keeps the events of ops_metrics.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

struct Text(String);

impl tracing::field::Visit for Text {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0 += &format!("{}={value:?} ", field.name());
    }
}

impl tracing::Subscriber for Lines {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "ops_metrics"
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}
