use std::collections::HashSet;
use std::mem::Discriminant;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::RwLock;

use crate::series::definition::MetricDefinition;

/// Default maximum number of values of one label of one metric; further values become `other`.
pub const LABEL_VALUES_MAX: usize = 200;
/// Default maximum number of series of one metric; beyond that, every label of a new series becomes `other`.
pub const SERIES_MAX: usize = 2000;
/// Maximum bytes of a label's value, which may be any UTF-8. A
/// longer value becomes `other`, as does an undeclared empty one.
pub const LABEL_VALUE_BYTES_MAX: usize = 256;
/// Metrics about metrics: values cut off in one of them would be counted in the others at each scrape.
const OWN_METRICS: [&str; 3] = [
    "ops_metrics_series",
    "ops_metrics_overflow_total",
    "ops_metrics_rejected_total",
];
/// Maximum number of values of a label of [`OWN_METRICS`]: one for each metric, or for each label of a metric.
const OWN_VALUES_MAX: usize = 2000;
/// Maximum number of refused values of one label that are kept as examples for people, and their maximum length.
pub(crate) const EXAMPLES_MAX: usize = 5;
const EXAMPLE_CHARS_MAX: usize = 64;
/// Maximum number of sets of identities that are stored for each admitted series.
const IDENTITIES_PER_SERIES: usize = 4;
const OTHER: &str = "other";

/// Limits of all metrics of one scope.
#[derive(Debug)]
pub(crate) struct Limits {
    label_values: AtomicUsize,
    series: AtomicUsize,
    created_samples: AtomicBool,
    /// Metric, label, and maximum number of values.
    of_labels: RwLock<Vec<(String, String, usize)>>,
    /// Metric, and upper bounds of its buckets.
    buckets: RwLock<Vec<(String, &'static [f64])>>,
}

impl Default for Limits {
    fn default() -> Self {
        let of_labels = OWN_METRICS.iter().flat_map(|metric| {
            let labels = ["metric", "label"];
            labels.map(|label| ((*metric).to_owned(), label.to_owned(), OWN_VALUES_MAX))
        });
        Self {
            label_values: AtomicUsize::new(LABEL_VALUES_MAX),
            series: AtomicUsize::new(SERIES_MAX),
            created_samples: AtomicBool::new(false),
            of_labels: RwLock::new(of_labels.collect()),
            buckets: RwLock::default(),
        }
    }
}

impl Limits {
    pub(crate) fn set_label_values(&self, max: usize) {
        self.label_values.store(max, Ordering::Relaxed);
    }

    pub(crate) fn set_series(&self, max: usize) {
        self.series.store(max, Ordering::Relaxed);
    }

    pub(crate) fn set_created_samples(&self, on: bool) {
        self.created_samples.store(on, Ordering::Relaxed);
    }

    pub(crate) fn created_samples(&self) -> bool {
        self.created_samples.load(Ordering::Relaxed)
    }

    pub(crate) fn set_of_label(&self, metric: &str, label: &str, max: usize) {
        let mut all = self.of_labels.write();
        all.retain(|(known, of, _)| (known.as_str(), of.as_str()) != (metric, label));
        all.push((metric.to_owned(), label.to_owned(), max));
    }

    pub(crate) fn set_buckets(&self, metric: &str, bounds: &[f64]) {
        let mut all = self.buckets.write();
        if all
            .iter()
            .any(|(known, of)| known == metric && *of == bounds)
        {
            return;
        }
        all.retain(|(known, _)| known != metric);
        // bounded by the configuration; histograms keep a reference to it
        all.push((metric.to_owned(), Box::leak(bounds.into())));
    }

    /// Returns the configured buckets of a metric, or else those of its definition.
    pub(crate) fn buckets_of(&self, definition: &MetricDefinition) -> &'static [f64] {
        let all = self.buckets.read();
        let own = all.iter().find(|(known, _)| known == definition.name);
        own.map_or(definition.buckets, |(_, bounds)| bounds)
    }

    pub(crate) fn series_of(&self, metric: &str) -> usize {
        let most = self.series.load(Ordering::Relaxed);
        if OWN_METRICS.contains(&metric) {
            most.max(SERIES_MAX)
        } else {
            most
        }
    }

    pub(crate) fn of_label(&self, metric: &str, label: &str) -> usize {
        let all = self.of_labels.read();
        let own = all
            .iter()
            .find(|(known, of, _)| (known.as_str(), of.as_str()) == (metric, label));
        own.map_or_else(|| self.label_values.load(Ordering::Relaxed), |own| own.2)
    }
}

/// Label values that a family has admitted.
#[derive(Debug, Default)]
pub(crate) struct CardinalityState {
    pub(crate) labels: Vec<LabelState>,
    identities: usize,
    admitted: usize,
}

#[derive(Debug, Default)]
pub(crate) struct LabelState {
    pub(crate) values: HashSet<Box<str>>,
    pub(crate) overflows: u64,
    pub(crate) examples: Vec<String>,
    /// Kinds of reasons that were already logged.
    logged: Vec<Discriminant<OverflowReason>>,
}

/// The admitted labels, and the warnings to log.
pub(crate) struct Admission<'a> {
    pub(crate) labels: Vec<&'a str>,
    /// `true` if no label became `other`.
    pub(crate) unchanged: bool,
    pub(crate) warnings: Vec<Warning>,
}

/// Reason for which a label's value became `other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OverflowReason {
    /// The value is empty, which is the same as no label, and
    /// would be another series unless the definition declares it.
    Empty,
    /// The value has more bytes than this limit.
    TooLong(usize),
    /// The label has reached this number of values.
    Values(usize),
    /// The metric has reached this number of series.
    Series(usize),
}

/// The first overflow of a label for one reason.
pub(crate) struct Warning {
    label: &'static str,
    value: String,
    reason: OverflowReason,
}

impl Warning {
    pub(crate) fn log(&self, metric: &'static str) {
        let (label, value) = (self.label, &self.value);
        let (reason, limit) = match self.reason {
            OverflowReason::Empty => ("value is empty", None),
            OverflowReason::TooLong(bytes) => ("value has more bytes than the limit", Some(bytes)),
            OverflowReason::Values(max) => ("label has reached the limit of values", Some(max)),
            OverflowReason::Series(max) => ("metric has reached the limit of series", Some(max)),
        };
        tracing::warn!(target: "ops_metrics", metric, label, ?value, reason, limit, "label_overflow");
    }
}

impl CardinalityState {
    /// Replaces refused values label by label; if the metric is full, every value of a new series.
    pub(crate) fn admit<'a>(
        &mut self,
        definition: &MetricDefinition,
        labels: &[&'a str],
        full: bool,
        limits: &Limits,
    ) -> Admission<'a> {
        self.labels
            .resize_with(definition.labels.len(), LabelState::default);
        let mut admission = Admission {
            labels: Vec::with_capacity(labels.len()),
            unchanged: true,
            warnings: Vec::new(),
        };
        let named = labels.iter().zip(definition.labels);
        for ((value, label), state) in named.zip(&mut self.labels) {
            let max = limits.of_label(definition.name, label.name);
            let refused = match state.refusal(value, label.values, max) {
                _ if *value == OTHER => None,
                None if full => Some(OverflowReason::Series(limits.series_of(definition.name))),
                refused => refused,
            };
            let Some(reason) = refused else {
                state.admit(value);
                admission.labels.push(value);
                continue;
            };
            admission.labels.push(OTHER);
            admission.unchanged = false;
            if let Some(value) = state.refuse(value, reason) {
                let label = label.name;
                admission.warnings.push(Warning {
                    label,
                    value,
                    reason,
                });
            }
        }
        self.admitted += 1;
        admission
    }

    /// Returns `true` if one more set of identities may be stored.
    pub(crate) fn may_identify(&mut self) -> bool {
        self.identities += 1;
        self.identities <= IDENTITIES_PER_SERIES * self.admitted.max(16)
    }
}

impl LabelState {
    /// Returns the reason why a value is not admitted. A declared
    /// value is admitted even if the label has reached its limit.
    fn refusal(&self, value: &str, declared: &[&str], max: usize) -> Option<OverflowReason> {
        if self.values.contains(value) {
            None
        } else if value.is_empty() && !declared.contains(&value) {
            Some(OverflowReason::Empty)
        } else if value.len() > LABEL_VALUE_BYTES_MAX {
            Some(OverflowReason::TooLong(LABEL_VALUE_BYTES_MAX))
        } else if self.values.len() >= max && !declared.contains(&value) {
            Some(OverflowReason::Values(max))
        } else {
            None
        }
    }

    fn admit(&mut self, value: &str) {
        if value != OTHER && !self.values.contains(value) {
            self.values.insert(value.into());
        }
    }

    /// Counts a refusal. The first time for this kind of reason, returns the part of the value that is logged.
    fn refuse(&mut self, value: &str, reason: OverflowReason) -> Option<String> {
        self.overflows += 1;
        let example: String = value.chars().take(EXAMPLE_CHARS_MAX).collect();
        if self.examples.len() < EXAMPLES_MAX && !self.examples.contains(&example) {
            self.examples.push(example.clone());
        }
        let kind = std::mem::discriminant(&reason);
        let first = !self.logged.contains(&kind);
        if first {
            self.logged.push(kind);
        }
        first.then_some(example)
    }
}
