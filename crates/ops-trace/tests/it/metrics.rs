use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use ops_trace::testing::{Answer, Collector};
use ops_trace::{Tracer, span};

use crate::config;

type Values = Arc<Mutex<BTreeMap<String, f64>>>;

#[derive(Default)]
struct Recorded(Values);

struct Value(String, Values);

impl Value {
    fn set(&self, value: f64) {
        self.1.lock().unwrap().insert(self.0.clone(), value);
    }
}

impl CounterFn for Value {
    fn increment(&self, _: u64) {
        panic!("totals are set");
    }

    fn absolute(&self, value: u64) {
        self.set(value as f64);
    }
}

impl GaugeFn for Value {
    fn increment(&self, _: f64) {
        panic!("gauges are set");
    }

    fn decrement(&self, _: f64) {
        panic!("gauges are set");
    }

    fn set(&self, value: f64) {
        Self::set(self, value);
    }
}

impl HistogramFn for Value {
    fn record(&self, value: f64) {
        assert!(value > 0.0);
        *self.1.lock().unwrap().entry(self.0.clone()).or_default() += 1.0;
    }
}

impl Recorded {
    fn value(&self, key: &Key) -> Arc<Value> {
        let labels: Vec<_> = key
            .labels()
            .map(|label| format!("{}={}", label.key(), label.value()))
            .collect();
        let name = format!("{}{{{}}}", key.name(), labels.join(","));
        Arc::new(Value(name, Arc::clone(&self.0)))
    }
}

impl Recorder for Recorded {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.value(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.value(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.value(key))
    }
}

#[test]
fn what_was_counted_is_published_under_its_names() {
    let collector = Collector::start().unwrap();
    let tracer = Tracer::new(config(&collector.endpoint())).unwrap();
    for answer in [
        Answer::Accept,
        Answer::PartialSuccess(1, String::new()),
        Answer::Status(404),
        Answer::Status(500),
        Answer::Hang,
        Answer::Accept,
    ] {
        collector.answer(answer);
        drop(span!(tracer: tracer, "a"));
        drop(span!(tracer: tracer, "b"));
        crate::flush_all(&tracer);
    }
    drop(span!(tracer: tracer, "waits"));
    let recorded = Recorded::default();
    metrics::with_local_recorder(&recorded, || tracer.publish_metrics());
    let values = recorded.0.lock().unwrap();
    let expected = [
        ("trace_export_duration_seconds{}", 5.0),
        ("trace_export_failures_total{kind=http_4xx}", 1.0),
        ("trace_export_failures_total{kind=http_5xx}", 1.0),
        ("trace_export_failures_total{kind=other}", 0.0),
        ("trace_export_failures_total{kind=partial}", 1.0),
        ("trace_export_failures_total{kind=refused}", 0.0),
        ("trace_export_failures_total{kind=timeout}", 1.0),
        ("trace_exporter_up{}", 0.0),
        ("trace_queue_capacity{}", 2048.0),
        ("trace_queue_length{}", 1.0),
        ("trace_spans_dropped_total{reason=circuit_open}", 2.0),
        ("trace_spans_dropped_total{reason=export_failed}", 6.0),
        ("trace_spans_dropped_total{reason=no_exporter}", 0.0),
        ("trace_spans_dropped_total{reason=queue_full}", 0.0),
        ("trace_spans_dropped_total{reason=shutdown}", 0.0),
        ("trace_spans_exported_total{}", 3.0),
        ("trace_spans_rejected_total{}", 1.0),
    ];
    let expected: BTreeMap<String, f64> = expected
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    assert_eq!(*values, expected);
    drop(values);
    metrics::with_local_recorder(&recorded, || tracer.publish_metrics());
    let durations = recorded.0.lock().unwrap()["trace_export_duration_seconds{}"];
    assert!(durations == 5.0, "a duration is published once");
}
