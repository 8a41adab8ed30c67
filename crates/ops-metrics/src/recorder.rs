use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use metrics::{CounterFn, GaugeFn, HistogramFn, Key, KeyName, Metadata, SharedString, Unit};

use crate::series::definition::Kind;
use crate::series::facade::{self, Place};
use crate::series::family::Family;
use crate::series::registry::find;
use crate::series::rejected::RejectReason;
use crate::series::scope::Scope;
use crate::series::value::{Counter, Gauge, Histogram};

static INSTALLED: AtomicBool = AtomicBool::new(false);

pub(crate) fn is_installed() -> bool {
    INSTALLED.load(Ordering::Acquire)
}

pub(crate) fn set_installed() {
    INSTALLED.store(true, Ordering::Release);
}

/// Recorder of the `metrics` facade: a name of a catalog is counted in the catalog's series, any other name in a metric
/// that is created on first use. The same limits apply to both.
pub(crate) struct Recorder;

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        facade::describe(Kind::Counter, name.as_str(), unit, help);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        facade::describe(Kind::Gauge, name.as_str(), unit, help);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        facade::describe(Kind::Histogram, name.as_str(), unit, help);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> metrics::Counter {
        place(Kind::Counter, key).map_or_else(metrics::Counter::noop, |(family, labels)| {
            metrics::Counter::from_arc(Arc::new(CounterHandle(family.counter(&labels))))
        })
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> metrics::Gauge {
        place(Kind::Gauge, key).map_or_else(metrics::Gauge::noop, |(family, labels)| {
            metrics::Gauge::from_arc(Arc::new(GaugeHandle(family.gauge(&labels))))
        })
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> metrics::Histogram {
        place(Kind::Histogram, key).map_or_else(metrics::Histogram::noop, |(family, labels)| {
            metrics::Histogram::from_arc(Arc::new(HistogramHandle(family.histogram(&labels))))
        })
    }
}

fn place<'a>(kind: Kind, key: &'a Key) -> Option<Place<'a>> {
    match find(key.name()) {
        Some(family) => Some((family, labels(family, kind, key)?)),
        None => facade::place(kind, key),
    }
}

/// Returns the label values in the family's order; `None` if the type or the
/// label names differ from the family's, which is counted, and logged once.
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
        values.filter(|values| definition.kind == kind && values.len() == key.labels().len());
    if values.is_none() {
        let given: Vec<&str> = key.labels().map(|label| label.key()).collect();
        let given = given.join(",");
        let (metric, refusals) = (definition.name, &Scope::current().refusals);
        let logged_as = format!("{metric} {} {given}", kind.as_str());
        if refusals.count(metric, RejectReason::Labels, &logged_as) {
            let accepted: Vec<&str> = definition.labels.iter().map(|label| label.name).collect();
            let (accepted, kind) = (accepted.join(","), kind.as_str());
            tracing::warn!(target: "ops_metrics", metric, kind, given, accepted, "labels_or_type_differ_from_catalog");
        }
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
