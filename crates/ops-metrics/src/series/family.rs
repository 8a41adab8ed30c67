use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash as _, Hasher as _};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use foldhash::fast::RandomState;
use parking_lot::{Mutex, RwLock};

use crate::series::definition::{Kind, MetricDefinition};
use crate::series::guard::{CardinalityState, Limits};
use crate::series::label::LabelId;
use crate::series::registry::register_family;
use crate::series::rejected::{RejectReason, Rejected};
use crate::series::scope::Scope;
use crate::series::table::Table;
use crate::series::value::{Counter, Gauge, Histogram, Seconds};

/// Maximum number of labels of a series that is found by identities; with more labels it is found by their texts.
const IDENTITIES_MAX: usize = 4;

/// All series of one metric. A series is created on first use and stays until the process ends.
#[derive(Debug)]
pub struct Family {
    definition: MetricDefinition,
    /// True if another crate records the metric: its facade metric registers it.
    is_of_facade: bool,
    state: OnceLock<State>,
}

/// Series of one family in one registry.
#[derive(Debug)]
pub(crate) struct State {
    limits: &'static Limits,
    /// Upper bounds of a histogram's buckets.
    buckets: &'static [f64],
    rejected: &'static Rejected,
    hasher: RandomState,
    by_identity: Table<IdentityEntry>,
    by_text: Table<Series>,
    /// Ordered by their labels, for rendering, and for series that the tables did not accept.
    sorted: RwLock<Vec<&'static Series>>,
    cardinality: Mutex<CardinalityState>,
}

/// Identities under which a series was looked up.
#[derive(Debug)]
struct IdentityEntry {
    identities: [LabelId; IDENTITIES_MAX],
    series: &'static Series,
}

/// A series: the values of its labels, and its value.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) labels: Vec<Box<str>>,
    /// `route="/",method="GET"`
    pub(crate) rendered: String,
    /// Creation time in seconds since 1970.
    pub(crate) created: f64,
    pub(crate) value: Value,
}

#[derive(Debug)]
pub(crate) enum Value {
    Counter(Counter),
    Seconds(Seconds),
    Gauge(Gauge),
    Histogram(Histogram),
}

/// Values for lookups of the wrong type, which only hand-written code can make.
static SPARE_COUNTER: Counter = Counter::new(&SPARE_REJECTED);
static SPARE_SECONDS: Seconds = Seconds::new();
static SPARE_REJECTED: Rejected = Rejected::new();
static SPARE_GAUGE: Gauge = Gauge::new(&SPARE_REJECTED);
static SPARE_HISTOGRAM: OnceLock<Histogram> = OnceLock::new();

macro_rules! typed_lookups {
    ($($by:ident $lookup:ident $kind:ident $spare:expr;)+) => {$(
        /// Looks up a series for the functions of `define!`.
        #[doc(hidden)]
        #[inline]
        pub fn $by<'a, const N: usize>(
            &'static self,
            identities: [Option<LabelId>; N],
            texts: impl FnOnce() -> [&'a str; N],
        ) -> &'static $kind {
            match &self.identified(identities, texts).value {
                Value::$kind(value) => value,
                _ => $spare,
            }
        }

        #[doc(hidden)]
        pub fn $lookup(&'static self, labels: &[&str]) -> &'static $kind {
            match &self.series(labels).value {
                Value::$kind(value) => value,
                _ => $spare,
            }
        }
    )+};
}

impl Family {
    #[doc(hidden)]
    pub const fn new(definition: MetricDefinition) -> Self {
        Self {
            definition: definition.check(),
            is_of_facade: false,
            state: OnceLock::new(),
        }
    }

    /// Creates the family of a metric that another crate records; the caller has checked its names.
    pub(crate) const fn of_facade(definition: MetricDefinition) -> Self {
        Self {
            definition,
            is_of_facade: true,
            state: OnceLock::new(),
        }
    }

    /// Returns the metric's definition.
    pub fn definition(&self) -> &MetricDefinition {
        &self.definition
    }

    typed_lookups! {
        counter_by counter Counter &SPARE_COUNTER;
        seconds_by seconds Seconds &SPARE_SECONDS;
        gauge_by gauge Gauge &SPARE_GAUGE;
        histogram_by histogram Histogram SPARE_HISTOGRAM.get_or_init(|| Histogram::new(&SPARE_REJECTED, &[]));
    }

    /// Returns the upper bounds of a histogram's buckets, ascending, without
    /// `+Inf`: those of the configuration, or else those of the definition.
    pub fn buckets(&self) -> &'static [f64] {
        self.existing()
            .map_or(self.definition.buckets, |state| state.buckets)
    }

    /// Returns the number of series.
    pub fn len(&self) -> usize {
        self.existing().map_or(0, |state| state.sorted.read().len())
    }

    /// Returns `true` if there is no series yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the sum of the series whose label values are `wanted`;
    /// `None` if there are none. A histogram counts its observations.
    pub fn total(&self, wanted: impl Fn(&[&str]) -> bool) -> Option<f64> {
        let sums = self.totals_by(|labels| wanted(labels).then_some(()));
        sums.into_values().next()
    }

    /// Returns the sums of the series, grouped by the `key` of their label values;
    /// series without a key are left out. A histogram counts its observations.
    pub fn totals_by<K: Ord>(&self, key: impl Fn(&[&str]) -> Option<K>) -> BTreeMap<K, f64> {
        let mut sums = BTreeMap::new();
        for series in self.sorted() {
            let labels: Vec<&str> = series.labels.iter().map(AsRef::as_ref).collect();
            let Some(key) = key(&labels) else { continue };
            let value = match &series.value {
                Value::Counter(counter) => counter.get() as f64,
                Value::Seconds(seconds) => seconds.get().as_secs_f64(),
                Value::Gauge(gauge) => gauge.get(),
                Value::Histogram(histogram) => histogram.count() as f64,
            };
            *sums.entry(key).or_insert(0.0) += value;
        }
        sums
    }

    /// Returns the number of values that were not counted, for each reason.
    pub(crate) fn rejected(&self) -> [(RejectReason, u64); 2] {
        let state = self.existing();
        state.map_or_else(|| SPARE_REJECTED.counts(), |state| state.rejected.counts())
    }

    /// Creates the series of all combinations of known values; none if the values of a label are unknown.
    pub(crate) fn zero(&'static self) {
        if !self.definition.at_start {
            return;
        }
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

    /// Returns all series, ordered by their labels.
    pub(crate) fn sorted(&self) -> Vec<&'static Series> {
        self.existing()
            .map(|state| state.sorted.read().clone())
            .unwrap_or_default()
    }

    /// Reads the state of the guard, if there are series.
    pub(crate) fn with_cardinality<T>(
        &self,
        read: impl FnOnce(&Limits, &CardinalityState) -> T,
    ) -> Option<T> {
        self.existing()
            .map(|state| read(state.limits, &state.cardinality.lock()))
    }

    fn existing(&self) -> Option<&State> {
        #[cfg(feature = "testing")]
        if let Some(scope) = crate::series::scope::test::current() {
            return scope.existing(self);
        }
        self.state.get()
    }

    #[inline]
    fn state(&'static self) -> &'static State {
        #[cfg(feature = "testing")]
        if let Some(scope) = crate::series::scope::test::current() {
            return scope.state(self);
        }
        self.state
            .get_or_init(|| State::new(&Scope::process().limits, &self.definition))
    }

    #[inline]
    fn identified<'a, const N: usize>(
        &'static self,
        identities: [Option<LabelId>; N],
        texts: impl FnOnce() -> [&'a str; N],
    ) -> &'static Series {
        let state = self.state();
        let Some(identities) = packed(identities) else {
            return self.find_or_grow(state, &texts()).0;
        };
        let hash = mixed::<N>(&identities);
        let same = |known: &IdentityEntry| known.identities == identities;
        match state.by_identity.find(hash, same) {
            Some(known) => known.series,
            None => self.identify(state, (hash, identities), &texts()),
        }
    }

    /// Finds the series by its texts, and stores the identities unless a text was refused.
    #[cold]
    fn identify(
        &'static self,
        state: &'static State,
        (hash, identities): (u64, [LabelId; IDENTITIES_MAX]),
        texts: &[&str],
    ) -> &'static Series {
        let (series, admitted) = self.find_or_grow(state, texts);
        if admitted && state.cardinality.lock().may_identify() {
            // bounded by the limits for series, like the series themselves
            let known = Box::leak(Box::new(IdentityEntry { identities, series }));
            state.by_identity.insert(hash, known);
        }
        series
    }

    fn series(&'static self, labels: &[&str]) -> &'static Series {
        self.find_or_grow(self.state(), labels).0
    }

    /// Returns the series, and true if all its texts were admitted.
    #[inline]
    fn find_or_grow(
        &'static self,
        state: &'static State,
        labels: &[&str],
    ) -> (&'static Series, bool) {
        let hash = state.hash(labels);
        match state.by_text.find(hash, |series| series.is_of(labels)) {
            Some(series) => (series, true),
            None => self.grow(state, labels),
        }
    }

    #[cold]
    fn grow(&'static self, state: &'static State, labels: &[&str]) -> (&'static Series, bool) {
        let mut cardinality = state.cardinality.lock();
        if let Some(series) = state.indexed(labels) {
            return (series, true);
        }
        let most = state.limits.series_of(self.definition.name);
        let full = state.sorted.read().len() >= most;
        let admission = cardinality.admit(&self.definition, labels, full, state.limits);
        let mut first = false;
        let series = state.indexed(&admission.labels).unwrap_or_else(|| {
            let series = self.make(state, &admission.labels);
            first = state.insert(series);
            series
        });
        drop(cardinality);
        if first && !self.is_of_facade {
            register_family(self);
        }
        for warning in &admission.warnings {
            warning.log(self.definition.name);
        }
        (series, admission.unchanged)
    }

    fn make(&self, state: &State, labels: &[&str]) -> &'static Series {
        let (rejected, buckets) = (state.rejected, state.buckets);
        let value = match self.definition.kind {
            Kind::Counter => Value::Counter(Counter::new(rejected)),
            Kind::Seconds => Value::Seconds(Seconds::new()),
            Kind::Gauge => Value::Gauge(Gauge::new(rejected)),
            Kind::Histogram => Value::Histogram(Histogram::new(rejected, buckets)),
        };
        let named = self.definition.labels.iter().zip(labels);
        let rendered: Vec<String> = named
            .map(|(label, text)| format!("{}=\"{}\"", label.name, escaped(text)))
            .collect();
        // bounded by the limits for series
        Box::leak(Box::new(Series {
            labels: labels.iter().map(|text| Box::from(*text)).collect(),
            rendered: rendered.join(","),
            created: now(),
            value,
        }))
    }
}

/// Returns the seconds since 1970, to the millisecond.
fn now() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_millis() as f64 / 1000.0
}

/// Escapes a label's value as both exposition formats do.
fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['\\', '"', '\n']) {
        return Cow::Borrowed(text);
    }
    let text = text.replace('\\', r"\\");
    Cow::Owned(text.replace('"', r#"\""#).replace('\n', r"\n"))
}

/// Returns all identities; `None` if a label has none, or there are too many.
#[inline]
fn packed<const N: usize>(identities: [Option<LabelId>; N]) -> Option<[LabelId; IDENTITIES_MAX]> {
    let mut all = [LabelId::NONE; IDENTITIES_MAX];
    if N > IDENTITIES_MAX {
        return None;
    }
    for (place, identity) in all.iter_mut().zip(identities) {
        *place = identity?;
    }
    Some(all)
}

#[inline]
fn mixed<const N: usize>(identities: &[LabelId; IDENTITIES_MAX]) -> u64 {
    identities
        .iter()
        .take(N)
        .fold(0, |hash, identity| identity.mix(hash))
}

impl State {
    pub(crate) fn new(limits: &'static Limits, definition: &MetricDefinition) -> Self {
        Self {
            limits,
            buckets: limits.buckets_of(definition),
            // the values keep a reference to it, and live as long as the process
            rejected: Box::leak(Box::new(Rejected::new())),
            hasher: RandomState::default(),
            by_identity: Table::new(),
            by_text: Table::new(),
            sorted: RwLock::default(),
            cardinality: Mutex::default(),
        }
    }

    #[inline]
    fn hash(&self, labels: &[&str]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        for label in labels {
            label.hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Looks a series up in the complete index.
    fn indexed(&self, labels: &[&str]) -> Option<&'static Series> {
        let sorted = self.sorted.read();
        let at = sorted.binary_search_by(|series| series.texts().cmp(labels.iter().copied()));
        at.ok().and_then(|at| sorted.get(at).copied())
    }

    /// Adds a series; returns true if it is the first one.
    fn insert(&self, series: &'static Series) -> bool {
        let mut sorted = self.sorted.write();
        let at = sorted.partition_point(|known| known.labels < series.labels);
        sorted.insert(at, series);
        let labels: Vec<&str> = series.texts().collect();
        self.by_text.insert(self.hash(&labels), series);
        sorted.len() == 1
    }
}

impl Series {
    fn texts(&self) -> impl Iterator<Item = &str> {
        self.labels.iter().map(|text| &**text)
    }

    #[inline]
    fn is_of(&self, labels: &[&str]) -> bool {
        self.texts().eq(labels.iter().copied())
    }
}
