use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

use parking_lot::{Mutex, RwLock};

use crate::catalogue::register_family;
use crate::value::{Counter, Gauge, Histogram};

/// Values that one label of one metric may have; the next ones become `other`.
pub const LABEL_VALUES_MAX: usize = 200;
/// Series of one metric; beyond, every label that is not in a known series becomes `other`.
const SERIES_MAX: usize = 2000;
/// Characters of a label's value; a longer one becomes `other`.
const VALUE_CHARS_MAX: usize = 96;
const OTHER: &str = "other";

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A total that only grows.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// Observations in buckets.
    Histogram,
}

impl Kind {
    /// The word after `# TYPE name`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A label of a metric.
#[derive(Clone, Copy, Debug)]
pub struct LabelDefinition {
    /// Its name.
    pub name: &'static str,
    /// Its values where they are known, else empty.
    pub values: &'static [&'static str],
}

/// What is known of a metric before anything was counted.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// The name, with unit and `_total`.
    pub name: &'static str,
    /// The type.
    pub kind: Kind,
    /// The text after `# HELP name`.
    pub help: &'static str,
    /// The labels, in the order in which they are rendered.
    pub labels: &'static [LabelDefinition],
    /// Upper bounds of the buckets, ascending, without `+Inf`; used by histograms only.
    pub buckets: &'static [f64],
}

impl Definition {
    /// Buckets of a histogram that declares none: seconds of a request.
    pub const BUCKETS: &'static [f64] = &[
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    ];

    /// The text after `# HELP name`, without the space that a doc comment starts with.
    pub fn help(&self) -> &'static str {
        self.help.trim()
    }
}

/// All series of one metric. Series are made on first use and stay until the process ends.
#[derive(Debug)]
pub struct Family {
    definition: Definition,
    state: OnceLock<State>,
}

#[derive(Debug, Default)]
struct State {
    hasher: RandomState,
    series: RwLock<HashMap<u64, Vec<&'static Series>>>,
    growth: Mutex<Growth>,
}

#[derive(Debug, Default)]
struct Growth {
    values: Vec<HashSet<Box<str>>>,
    series: usize,
}

/// One series: the labels' values and the value.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) labels: Vec<Box<str>>,
    pub(crate) value: Value,
}

#[derive(Debug)]
pub(crate) enum Value {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

static SPARE_COUNTER: Counter = Counter::new();
static SPARE_GAUGE: Gauge = Gauge::new();

impl Family {
    #[doc(hidden)]
    pub const fn new(definition: Definition) -> Self {
        Self {
            definition,
            state: OnceLock::new(),
        }
    }

    /// The metric's definition.
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    #[doc(hidden)]
    pub fn counter(&'static self, labels: &[&str]) -> &'static Counter {
        match &self.series(labels).value {
            Value::Counter(counter) => counter,
            _ => &SPARE_COUNTER,
        }
    }

    #[doc(hidden)]
    pub fn gauge(&'static self, labels: &[&str]) -> &'static Gauge {
        match &self.series(labels).value {
            Value::Gauge(gauge) => gauge,
            _ => &SPARE_GAUGE,
        }
    }

    #[doc(hidden)]
    pub fn histogram(&'static self, labels: &[&str]) -> &'static Histogram {
        static SPARE: OnceLock<Histogram> = OnceLock::new();
        match &self.series(labels).value {
            Value::Histogram(histogram) => histogram,
            _ => SPARE.get_or_init(|| Histogram::new("spare", &[])),
        }
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.state
            .get()
            .map_or(0, |state| state.growth.lock().series)
    }

    /// Whether there is no series yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes the series of all combinations of known values; none where a label's values are not known.
    pub(crate) fn zero(&'static self) {
        let mut combinations: Vec<Vec<&str>> = vec![Vec::new()];
        for label in self.definition.labels {
            let longer = |head: &Vec<&'static str>| {
                let head = head.clone();
                label
                    .values
                    .iter()
                    .map(move |value| [head.as_slice(), &[*value]].concat())
            };
            combinations = combinations.iter().flat_map(longer).collect();
        }
        for labels in combinations {
            self.series(&labels);
        }
    }

    /// All series, in the order of their labels.
    pub(crate) fn sorted(&self) -> Vec<&'static Series> {
        let Some(state) = self.state.get() else {
            return Vec::new();
        };
        let mut all: Vec<_> = state.series.read().values().flatten().copied().collect();
        all.sort_by(|a, b| a.labels.cmp(&b.labels));
        all
    }

    fn series(&'static self, labels: &[&str]) -> &'static Series {
        let state = self.state.get_or_init(State::default);
        state
            .find(labels)
            .unwrap_or_else(|| self.grow(state, labels))
    }

    #[cold]
    fn grow(&'static self, state: &State, labels: &[&str]) -> &'static Series {
        let mut growth = state.growth.lock();
        growth
            .values
            .resize_with(self.definition.labels.len(), HashSet::new);
        let full = growth.series >= SERIES_MAX;
        let mut admitted: Vec<&str> = Vec::with_capacity(labels.len());
        let mut refused = Vec::new();
        for ((value, label), seen) in labels
            .iter()
            .zip(self.definition.labels)
            .zip(growth.values.iter_mut())
        {
            if !full && admit(value, seen) {
                admitted.push(value);
            } else {
                admitted.push(OTHER);
                refused.push((label.name, *value));
            }
        }
        let series = state.find(&admitted).unwrap_or_else(|| {
            growth.series += 1;
            state.insert(self.make(&admitted))
        });
        let first = growth.series == 1;
        drop(growth);
        if first {
            register_family(self);
        }
        for (label, value) in refused {
            overflow(self.definition.name, label, value);
        }
        series
    }

    fn make(&self, labels: &[&str]) -> &'static Series {
        let Definition {
            name,
            kind,
            buckets,
            ..
        } = self.definition;
        let value = match kind {
            Kind::Counter => Value::Counter(Counter::new()),
            Kind::Gauge => Value::Gauge(Gauge::new()),
            Kind::Histogram => Value::Histogram(Histogram::new(name, buckets)),
        };
        let labels = labels.iter().map(|text| Box::from(*text)).collect();
        Box::leak(Box::new(Series { labels, value })) // bounded by SERIES_MAX for each metric
    }
}

impl State {
    fn hash(&self, labels: &[&str]) -> u64 {
        self.hasher.hash_one(labels)
    }

    fn find(&self, labels: &[&str]) -> Option<&'static Series> {
        let all = self.series.read();
        let same = |series: &&&Series| {
            series
                .labels
                .iter()
                .map(|text| &**text)
                .eq(labels.iter().copied())
        };
        all.get(&self.hash(labels))?.iter().find(same).copied()
    }

    fn insert(&self, series: &'static Series) -> &'static Series {
        let labels: Vec<&str> = series.labels.iter().map(|text| &**text).collect();
        self.series
            .write()
            .entry(self.hash(&labels))
            .or_default()
            .push(series);
        series
    }
}

fn admit(value: &str, seen: &mut HashSet<Box<str>>) -> bool {
    if value == OTHER || seen.contains(value) {
        return true;
    }
    let plain = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\';
    let fits = (1..=VALUE_CHARS_MAX).contains(&value.len()) && value.bytes().all(plain);
    fits && seen.len() < LABEL_VALUES_MAX && seen.insert(value.into())
}

/// A label whose values became `other`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overflow {
    /// The metric.
    pub metric: &'static str,
    /// The label.
    pub label: &'static str,
    /// How many lookups became `other`.
    pub count: u64,
}

static OVERFLOWS: Mutex<Vec<Overflow>> = Mutex::new(Vec::new());

/// Which labels overflowed, most often first.
pub fn overflows() -> Vec<Overflow> {
    let mut all = OVERFLOWS.lock().clone();
    all.sort_by_key(|overflow| std::cmp::Reverse(overflow.count));
    all
}

fn overflow(metric: &'static str, label: &'static str, value: &str) {
    let mut all = OVERFLOWS.lock();
    if let Some(known) = all
        .iter_mut()
        .find(|known| known.metric == metric && known.label == label)
    {
        known.count += 1;
        return;
    }
    all.push(Overflow {
        metric,
        label,
        count: 1,
    });
    drop(all);
    let value: String = value.chars().take(64).collect();
    tracing::warn!(target: "ops_metrics", metric, label, ?value, "label_overflow");
}
