use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;

use crate::series::definition::MetricDefinition;

/// Values that one label of one metric may have unless configured; the next ones become `other`.
pub const LABEL_VALUES_MAX: usize = 200;
/// Series of one metric unless configured; beyond, every label that is not in a known series becomes `other`.
pub const SERIES_MAX: usize = 2000;
/// Characters of a label's value; a longer one becomes `other`.
const VALUE_CHARS_MAX: usize = 96;
/// Refused values of one label that are kept for a person to read, and how much of each.
const EXAMPLES_MAX: usize = 5;
const EXAMPLE_CHARS_MAX: usize = 64;
/// How much more often series may be asked for under different addresses of the same text than there may be series.
const IDENTITIES_PER_SERIES: usize = 4;
const OTHER: &str = "other";

/// How much metrics may grow.
#[derive(Debug)]
pub(crate) struct Limits {
    label_values: AtomicUsize,
    series: AtomicUsize,
    /// Metric, label, values.
    of_labels: RwLock<Vec<(String, String, usize)>>,
}

static GLOBAL: Limits = Limits::new();

impl Limits {
    pub(crate) const fn new() -> Self {
        Self {
            label_values: AtomicUsize::new(LABEL_VALUES_MAX),
            series: AtomicUsize::new(SERIES_MAX),
            of_labels: RwLock::new(Vec::new()),
        }
    }

    pub(crate) fn global() -> &'static Self {
        &GLOBAL
    }

    pub(crate) fn set_label_values(&self, max: usize) {
        self.label_values.store(max, Ordering::Relaxed);
    }

    pub(crate) fn set_series(&self, max: usize) {
        self.series.store(max, Ordering::Relaxed);
    }

    pub(crate) fn set_of_label(&self, metric: &str, label: &str, max: usize) {
        let mut all = self.of_labels.write();
        all.retain(|(known, of, _)| (known.as_str(), of.as_str()) != (metric, label));
        all.push((metric.to_owned(), label.to_owned(), max));
    }

    pub(crate) fn series(&self) -> usize {
        self.series.load(Ordering::Relaxed)
    }

    pub(crate) fn of_label(&self, metric: &str, label: &str) -> usize {
        let all = self.of_labels.read();
        let own = all
            .iter()
            .find(|(known, of, _)| (known.as_str(), of.as_str()) == (metric, label));
        own.map_or_else(|| self.label_values.load(Ordering::Relaxed), |own| own.2)
    }
}

/// What one family has grown to.
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
}

/// The labels as they will be, and what has to be said about it.
pub(crate) struct Admission<'a> {
    pub(crate) labels: Vec<&'a str>,
    /// Whether no label became `other`.
    pub(crate) unchanged: bool,
    pub(crate) warnings: Vec<Warning>,
}

/// A label's first overflow.
pub(crate) struct Warning {
    label: &'static str,
    value: String,
    values_max: usize,
}

impl Warning {
    pub(crate) fn log(&self, metric: &'static str) {
        let Self {
            label,
            value,
            values_max,
        } = self;
        tracing::warn!(target: "ops_metrics", metric, label, ?value, values_max, "label_overflow");
    }
}

impl CardinalityState {
    /// Replaces what is refused, label by label; where the metric is full, all that makes a new series.
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
        for ((value, label), growth) in named.zip(&mut self.labels) {
            let max = limits.of_label(definition.name, label.name);
            if *value == OTHER || (!full && growth.admit(value, label.values, max)) {
                admission.labels.push(value);
                continue;
            }
            admission.labels.push(OTHER);
            admission.unchanged = false;
            if let Some(value) = growth.refuse(value) {
                let (label, values_max) = (label.name, max);
                admission.warnings.push(Warning {
                    label,
                    value,
                    values_max,
                });
            }
        }
        self.admitted += 1;
        admission
    }

    /// Whether one more set of identities may be remembered.
    pub(crate) fn may_identify(&mut self) -> bool {
        self.identities += 1;
        self.identities <= IDENTITIES_PER_SERIES * self.admitted.max(16)
    }
}

impl LabelState {
    /// The declared values have their place even where others came first.
    fn admit(&mut self, value: &str, declared: &[&str], max: usize) -> bool {
        if self.values.contains(value) {
            return true;
        }
        let plain = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\';
        let fits = (1..=VALUE_CHARS_MAX).contains(&value.len()) && value.bytes().all(plain);
        let known = declared.contains(&value);
        fits && (known || self.values.len() < max) && self.values.insert(value.into())
    }

    /// Counts it; the first time, hands back what of the value may be told.
    fn refuse(&mut self, value: &str) -> Option<String> {
        self.overflows += 1;
        if self.examples.len() < EXAMPLES_MAX {
            let example: String = value.chars().take(EXAMPLE_CHARS_MAX).collect();
            if !self.examples.contains(&example) {
                self.examples.push(example);
            }
        }
        (self.overflows == 1).then(|| self.examples.concat())
    }
}
