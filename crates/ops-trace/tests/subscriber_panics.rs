//! A subscriber of the application that panics on the export
//! thread: there is one per process, so this is a separate process.

#![expect(clippy::panic, reason = "tests")]

use std::time::{Duration, Instant};

use ops_trace::testing::{Answer, Collector};
use ops_trace::{Config, Tracer, span};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Delay of events that must not happen during the test.
const LONG: Duration = Duration::from_secs(60);

struct Panics;

impl Subscriber for Panics {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn event(&self, _: &Event<'_>) {
        if std::thread::current().name() == Some("ops-trace-spans") {
            panic!("on purpose");
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn spans_are_counted_and_exported_though_each_line_of_the_export_panics() {
    tracing::subscriber::set_global_default(Panics).unwrap();
    let collector = Collector::start().unwrap();
    let config = Config::new("it").endpoint(collector.endpoint());
    let config = config
        .export_delay(LONG)
        .probe_after(Duration::from_millis(100));
    // one request per span: the third failure logs a line, and the other spans of the batch are not sent
    let config = config.environment([("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")]);
    let tracer = Tracer::new(config).unwrap();
    let end_ten = || {
        let ten: Vec<_> = (0..10).map(|_| span!(tracer: tracer, "a")).collect();
        drop(ten);
        let started = Instant::now();
        tracer.flush();
        // a flush gives up after five seconds
        while tracer.stats().queued > 0 {
            assert!(started.elapsed() < LONG / 2, "the thread is gone");
            tracer.flush();
        }
        let stats = tracer.stats();
        let sum = stats.exported + stats.rejected + stats.dropped();
        assert_eq!((stats.ended_sampled, stats.queued), (sum, 0), "{stats:?}");
        stats.exported
    };
    collector.answer(Answer::Status(404));
    assert_eq!(end_ten(), 0);
    collector.answer(Answer::Accept);
    let started = Instant::now();
    while end_ten() < 20 {
        assert!(started.elapsed() < LONG, "{:?}", tracer.stats());
    }
    tracer.shutdown_blocking(LONG);
}
