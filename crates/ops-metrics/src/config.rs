use std::collections::BTreeMap;

use crate::builtin;
use crate::error::Error;
use crate::series::family::Family;
use crate::series::guard::Limits;
use crate::series::registry;

/// Configuration of [`install`](crate::install); the default needs nothing.
///
/// In a file the keys are `label_values_max`, `series_max`, and `label_values_max_of` with a map of labels for each
/// metric. Keys that are not known are refused.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    #[serde(skip)]
    build: Option<[&'static str; 3]>,
    #[serde(skip)]
    catalogs: Vec<&'static [fn() -> &'static Family]>,
    label_values_max: Option<usize>,
    series_max: Option<usize>,
    label_values_max_of: BTreeMap<String, BTreeMap<String, usize>>,
}

impl Config {
    /// The built-in catalog, and no `build_info`.
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

    /// Registers a catalog of yours as well.
    #[must_use]
    pub fn catalog(mut self, catalog: &'static [fn() -> &'static Family]) -> Self {
        self.catalogs.push(catalog);
        self
    }

    /// Sets the maximum number of values of one label of one metric; the next one becomes `other`. The default is 200.
    #[must_use]
    pub fn label_values_max(mut self, values: usize) -> Self {
        self.label_values_max = Some(values);
        self
    }

    /// Sets the maximum number of values for one label of a registered metric.
    #[must_use]
    pub fn label_values_max_of(mut self, metric: &str, label: &str, values: usize) -> Self {
        let labels = self.label_values_max_of.entry(metric.to_owned());
        labels.or_default().insert(label.to_owned(), values);
        self
    }

    /// Sets the maximum number of series of one metric; beyond, every label of a new one becomes `other`. The default is 2000.
    #[must_use]
    pub fn series_max(mut self, series: usize) -> Self {
        self.series_max = Some(series);
        self
    }

    pub(crate) fn apply(&self, limits: &Limits) -> Result<(), Error> {
        registry::register(builtin::CATALOG);
        for catalog in &self.catalogs {
            registry::register(catalog);
        }
        self.check()?;
        if let Some(values) = self.label_values_max {
            limits.set_label_values(values);
        }
        if let Some(series) = self.series_max {
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

    /// Metric, label and its limit.
    fn of_labels(&self) -> impl Iterator<Item = (&str, &str, usize)> {
        let of_metrics = self.label_values_max_of.iter();
        of_metrics.flat_map(|(metric, labels)| {
            let labels = labels.iter();
            labels.map(move |(label, values)| (metric.as_str(), label.as_str(), *values))
        })
    }

    fn check(&self) -> Result<(), Error> {
        let of_labels = self.of_labels().map(|(_, _, values)| Some(values));
        let all = [self.label_values_max, self.series_max].into_iter();
        if all.chain(of_labels).any(|limit| limit == Some(0)) {
            let why = "a limit of 0 would refuse everything; accepted: 1 and more".to_owned();
            return Err(Error::Limit(why));
        }
        for (metric, label, _) in self.of_labels() {
            let Some(family) = registry::find(metric) else {
                let why = format!("there is no metric {metric}; is its catalog registered?");
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
