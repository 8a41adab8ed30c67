use std::sync::{Arc, OnceLock};

use metrics::{CounterFn, GaugeFn, HistogramFn, Key, KeyName, Metadata, SharedString, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::builtin::ops_metrics_rejected_total;
use crate::error::Error;
use crate::series::definition::{Kind, MetricDefinition};
use crate::series::family::Family;
use crate::series::registry::find;
use crate::series::rejected::RejectReason;
use crate::series::value::{Counter, Gauge, Histogram};

static INSTALLED: OnceLock<PrometheusHandle> = OnceLock::new();

/// Returns what renders the metrics of other crates, once the recorder is installed.
pub(crate) fn installed() -> Option<&'static PrometheusHandle> {
    INSTALLED.get()
}

pub(crate) fn set_installed(handle: PrometheusHandle) {
    INSTALLED.get_or_init(|| handle);
}

/// The recorder of the `metrics` facade: a catalog name goes to the catalog's series, any other to the exporter.
pub(crate) struct Recorder {
    foreign: PrometheusRecorder,
}

impl Recorder {
    /// With the handle that renders what other crates recorded. Their histograms get real buckets.
    pub(crate) fn new() -> Result<(Self, PrometheusHandle), Error> {
        let builder = PrometheusBuilder::new().set_buckets(MetricDefinition::BUCKETS);
        let foreign = builder.map_err(|_| Error::RecorderTaken)?.build_recorder();
        let handle = foreign.handle();
        Ok((Self { foreign }, handle))
    }
}

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.foreign.describe_counter(name, unit, help);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.foreign.describe_gauge(name, unit, help);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.foreign.describe_histogram(name, unit, help);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> metrics::Counter {
        match find(key.name()) {
            Some(family) => match labels(family, Kind::Counter, key) {
                Some(labels) => {
                    metrics::Counter::from_arc(Arc::new(CounterHandle(family.counter(&labels))))
                }
                None => metrics::Counter::noop(),
            },
            None => self.foreign.register_counter(key, metadata),
        }
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> metrics::Gauge {
        match find(key.name()) {
            Some(family) => match labels(family, Kind::Gauge, key) {
                Some(labels) => {
                    metrics::Gauge::from_arc(Arc::new(GaugeHandle(family.gauge(&labels))))
                }
                None => metrics::Gauge::noop(),
            },
            None => self.foreign.register_gauge(key, metadata),
        }
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> metrics::Histogram {
        match find(key.name()) {
            Some(family) => match labels(family, Kind::Histogram, key) {
                Some(labels) => metrics::Histogram::from_arc(Arc::new(HistogramHandle(
                    family.histogram(&labels),
                ))),
                None => metrics::Histogram::noop(),
            },
            None => metrics::Histogram::from_arc(Arc::new(Finite(
                self.foreign.register_histogram(key, metadata),
            ))),
        }
    }
}

/// The label values in the family's order; `None`, and a warning, where type or label names are not the family's.
fn labels<'a>(family: &'static Family, kind: Kind, key: &'a Key) -> Option<Vec<&'a str>> {
    let definition = family.definition();
    let value = |name: &str| {
        key.labels()
            .find(|label| label.key() == name)
            .map(|label| label.value())
    };
    let values: Option<Vec<&str>> = definition
        .labels
        .iter()
        .map(|label| value(label.name))
        .collect();
    let values =
        values.filter(|values| definition.kind == kind && values.len() == key.labels().count());
    if values.is_none() {
        let metric = definition.name;
        tracing::warn!(target: "ops_metrics", metric, key = %key, "labels_or_type_differ_from_catalog");
        family.reject(RejectReason::Labels);
    }
    values
}

struct CounterHandle(&'static Counter);

impl CounterFn for CounterHandle {
    fn increment(&self, value: u64) {
        self.0.add(value);
    }

    fn absolute(&self, value: u64) {
        self.0.absolute(value);
    }
}

struct GaugeHandle(&'static Gauge);

impl GaugeFn for GaugeHandle {
    fn increment(&self, value: f64) {
        self.0.add(value);
    }

    fn decrement(&self, value: f64) {
        self.0.add(-value);
    }

    fn set(&self, value: f64) {
        self.0.set(value);
    }
}

struct HistogramHandle(&'static Histogram);

impl HistogramFn for HistogramHandle {
    fn record(&self, value: f64) {
        self.0.observe(value);
    }
}

/// A histogram of another crate, whose sum a single NaN would spoil for good.
struct Finite(metrics::Histogram);

impl HistogramFn for Finite {
    fn record(&self, value: f64) {
        if value.is_finite() {
            self.0.record(value);
        } else {
            ops_metrics_rejected_total("of another crate", RejectReason::NonFinite).inc();
        }
    }
}
