use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Values of all series at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    values: BTreeMap<String, f64>,
}

impl Snapshot {
    /// Reads a text exposition. Lines that are not samples are ignored.
    pub fn of(exposition: &str) -> Self {
        let samples = exposition.lines().filter(|line| !line.starts_with('#'));
        let values = samples
            .filter_map(|line| line.rsplit_once(' '))
            .filter_map(|(series, value)| Some((series.to_owned(), value.parse().ok()?)));
        Self {
            values: values.collect(),
        }
    }

    /// Returns the value of one series, named as it is rendered: `jobs_total{queue="mail"}`.
    pub fn value(&self, series: &str) -> Option<f64> {
        self.values.get(series).copied()
    }

    /// Returns all series of one metric, named as they are rendered, with their values.
    pub fn series<'a>(&'a self, metric: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        let all = self
            .values
            .iter()
            .map(|(series, value)| (series.as_str(), *value));
        all.filter(move |(series, _)| name(series) == metric)
    }

    /// Returns the differences to an earlier snapshot; a series that did not exist then counts from 0.
    pub fn since(&self, earlier: &Self) -> BTreeMap<&str, f64> {
        let all = self.values.iter().map(|(series, value)| {
            let before = earlier.value(series).unwrap_or(0.0);
            (series.as_str(), value - before)
        });
        all.filter(|(_, change)| *change != 0.0).collect()
    }

    /// Asserts that since `earlier` these series changed by these amounts, and no other series of the same metrics.
    ///
    /// # Panics
    ///
    /// Panics if the changes differ; the message names each difference.
    #[track_caller]
    pub fn assert_since(&self, earlier: &Self, changes: &[(&str, f64)]) {
        let found = self.since(earlier);
        let mut wrong = String::new();
        for (series, expected) in changes {
            let change = found.get(series).copied().unwrap_or(0.0);
            if (change - expected).abs() > 1e-9 {
                let _ = writeln!(wrong, "{series} changed by {change} instead of {expected}");
            }
        }
        for (series, change) in &found {
            let named = changes.iter().any(|(known, _)| known == series);
            let asked = changes.iter().any(|(known, _)| name(known) == name(series));
            if asked && !named {
                let _ = writeln!(
                    wrong,
                    "{series} changed by {change}, which was not expected"
                );
            }
        }
        assert!(wrong.is_empty(), "{wrong}");
    }
}

fn name(series: &str) -> &str {
    series.split('{').next().unwrap_or(series)
}
