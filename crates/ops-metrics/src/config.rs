use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, Deserializer, SeqAccess, Unexpected, Visitor};

use crate::builtin;
use crate::error::Error;
use crate::series::definition::{Kind, are_bounds};
use crate::series::family::Family;
use crate::series::guard::Limits;
use crate::series::registry;

/// Bounds that are accepted.
const EXPECTED_BOUNDS: &str = "1 to 40 finite, ascending numbers above 0";

/// Configuration of [`init`](crate::init); the default needs no settings.
///
/// In a file the keys are `label_values_max`, `series_max`, and `label_values_max_of` with a map of labels for each
/// metric, `buckets_of` with a list of bounds for each metric, and `created_samples`. Unknown keys are refused.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "series_max and the other keys of metrics"
)]
pub struct Config {
    #[serde(skip)]
    build: Option<[&'static str; 3]>,
    #[serde(skip)]
    catalogs: Vec<&'static [fn() -> &'static Family]>,
    label_values_max: Option<Limit>,
    series_max: Option<Limit>,
    label_values_max_of: BTreeMap<String, BTreeMap<String, Limit>>,
    buckets_of: BTreeMap<String, Bounds>,
    created_samples: bool,
}

/// Maximum number of values or series; in a file 0 is refused where its line is known.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Limit(usize);

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(LimitVisitor)
    }
}

struct LimitVisitor;

impl Visitor<'_> for LimitVisitor {
    type Value = Limit;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("at least 1")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Limit, E> {
        let limit = usize::try_from(number).ok().filter(|limit| *limit > 0);
        let wrong = || E::invalid_value(Unexpected::Unsigned(number), &self);
        limit.map(Limit).ok_or_else(wrong)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Limit, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(number), &self)),
        }
    }
}

/// Upper bounds of buckets; in a file wrong ones are refused where their line is known.
#[derive(Clone, Debug)]
struct Bounds(Vec<f64>);

impl<'de> Deserialize<'de> for Bounds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(BoundsVisitor)
    }
}

struct BoundsVisitor;

impl<'de> Visitor<'de> for BoundsVisitor {
    type Value = Bounds;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED_BOUNDS)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Bounds, A::Error> {
        let bounds = Vec::deserialize(SeqAccessDeserializer::new(list))?;
        match are_bounds(&bounds) {
            true => Ok(Bounds(bounds)),
            false => Err(de::Error::custom(format!(
                "{bounds:?}; expected {EXPECTED_BOUNDS}"
            ))),
        }
    }
}

impl Config {
    /// Returns the default: the built-in catalog, and no `build_info`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `build_info{version,git_sha,rustc}` to 1.
    #[must_use]
    pub fn build_info(
        mut self,
        version: &'static str,
        git_sha: &'static str,
        rustc: &'static str,
    ) -> Self {
        self.build = Some([version, git_sha, rustc]);
        self
    }

    /// Registers this catalog too.
    #[must_use]
    pub fn catalog(mut self, catalog: &'static [fn() -> &'static Family]) -> Self {
        self.catalogs.push(catalog);
        self
    }

    /// Sets the maximum number of values of one label of one metric; further values become `other`. The default is 200.
    #[must_use]
    pub fn label_values_max(mut self, values: usize) -> Self {
        self.label_values_max = Some(Limit(values));
        self
    }

    /// Sets the maximum number of values for one label of a registered metric.
    #[must_use]
    pub fn label_values_max_of(mut self, metric: &str, label: &str, values: usize) -> Self {
        let labels = self.label_values_max_of.entry(metric.to_owned());
        labels.or_default().insert(label.to_owned(), Limit(values));
        self
    }

    /// Sets the maximum number of series of one metric; beyond that, every label of a new series becomes `other`. The
    /// default is 2000. The metrics about metrics always have at least the default.
    #[must_use]
    pub fn series_max(mut self, series: usize) -> Self {
        self.series_max = Some(Limit(series));
        self
    }

    /// Sets the buckets of a histogram by their upper bounds without `+Inf`: 1 to 40 finite, ascending numbers above 0.
    /// The threshold of an alert should be one of them.
    #[must_use]
    pub fn buckets_of(mut self, metric: &str, bounds: impl IntoIterator<Item = f64>) -> Self {
        let bounds = Bounds(bounds.into_iter().collect());
        self.buckets_of.insert(metric.to_owned(), bounds);
        self
    }

    /// Adds the creation time of each counter and histogram to the OpenMetrics format:
    /// `jobs_created` beside `jobs_total`, in seconds since 1970. Off by default: a server that does
    /// not read them as creation times stores them as additional series.
    #[must_use]
    pub fn created_samples(mut self, on: bool) -> Self {
        self.created_samples = on;
        self
    }

    pub(crate) fn apply(&self, limits: &Limits) -> Result<(), Error> {
        self.check_bounds()?;
        // set before a histogram has its first series
        for (metric, Bounds(bounds)) in &self.buckets_of {
            limits.set_buckets(metric, bounds);
        }
        registry::register(builtin::CATALOG);
        for catalog in &self.catalogs {
            registry::register(catalog);
        }
        self.check()?;
        limits.set_created_samples(self.created_samples);
        if let Some(Limit(values)) = self.label_values_max {
            limits.set_label_values(values);
        }
        if let Some(Limit(series)) = self.series_max {
            limits.set_series(series);
        }
        for (metric, label, values) in self.of_labels() {
            limits.set_of_label(metric, label, values);
        }
        if let Some([version, git_sha, rustc]) = self.build {
            builtin::build_info(version, git_sha, rustc).set(1.0);
        }
        Ok(())
    }

    /// Returns each metric and label with its limit.
    fn of_labels(&self) -> impl Iterator<Item = (&str, &str, usize)> {
        let of_metrics = self.label_values_max_of.iter();
        of_metrics.flat_map(|(metric, labels)| {
            let labels = labels.iter();
            labels.map(move |(label, values)| (metric.as_str(), label.as_str(), values.0))
        })
    }

    fn check_bounds(&self) -> Result<(), Error> {
        let wrong = |(_, bounds): &(&String, &Bounds)| !are_bounds(&bounds.0);
        match self.buckets_of.iter().find(wrong) {
            Some((metric, Bounds(bounds))) => Err(Error::Limit(format!(
                "buckets of {metric} are {bounds:?}; expected {EXPECTED_BOUNDS}"
            ))),
            None => Ok(()),
        }
    }

    fn check_buckets(&self) -> Result<(), Error> {
        for (metric, Bounds(bounds)) in &self.buckets_of {
            let why = match registry::find(metric) {
                None => format!("unknown metric {metric}; check that its catalog is registered"),
                Some(family) if family.definition().kind != Kind::Histogram => {
                    format!("{metric} is not a histogram and has no buckets")
                }
                Some(family) if !family.is_empty() && family.buckets() != bounds.as_slice() => {
                    format!("{metric} was used before its buckets were configured")
                }
                Some(_) => continue,
            };
            return Err(Error::Limit(why));
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
        self.check_buckets()?;
        let zero = |key: &str| {
            let why = format!("{key} is 0, which would refuse everything; expected at least 1");
            Err(Error::Limit(why))
        };
        if self.label_values_max == Some(Limit(0)) {
            return zero("label_values_max");
        }
        if self.series_max == Some(Limit(0)) {
            return zero("series_max");
        }
        for (metric, label, values) in self.of_labels() {
            if values == 0 {
                return zero(&format!("label_values_max_of.{metric}.{label}"));
            }
            let Some(family) = registry::find(metric) else {
                let why = format!("unknown metric {metric}; check that its catalog is registered");
                return Err(Error::Limit(why));
            };
            let labels = family.definition().labels.iter().map(|label| label.name);
            let labels: Vec<&str> = labels.collect();
            if !labels.contains(&label) {
                let accepted = labels.join(", ");
                let why = format!("{metric} has no label {label}; its labels are: {accepted}");
                return Err(Error::Limit(why));
            }
        }
        Ok(())
    }
}
