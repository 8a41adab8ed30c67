//! Parses `docs/metrics.md`: the metrics with their types and labels.

use std::collections::BTreeMap;

/// Path of the page in the checkout. Its rows are generated from the catalogs, on whose crates xtask does not depend.
pub(crate) const PAGE: &str = "docs/metrics.md";

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

#[derive(Debug)]
pub(crate) struct Metric {
    pub(crate) kind: Kind,
    pub(crate) labels: Vec<String>,
}

/// All metrics by name.
#[derive(Debug, Default)]
pub(crate) struct Table(BTreeMap<String, Metric>);

/// Metric that a name in a query refers to.
pub(crate) struct Named<'a> {
    pub(crate) metric: &'a Metric,
    /// `_bucket`, `_sum` or `_count` of a histogram.
    pub(crate) part: Option<&'static str>,
}

const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

impl Table {
    /// Parses the rows: name, type, unit, labels, meaning.
    pub(crate) fn read(page: &str) -> Self {
        let mut metrics: BTreeMap<_, _> = page.lines().filter_map(row).collect();
        // Prometheus generates it for each target
        let up = Metric {
            kind: Kind::Gauge,
            labels: Vec::new(),
        };
        metrics.insert("up".to_owned(), up);
        Self(metrics)
    }

    /// Adds the metrics of recording rules.
    pub(crate) fn with_recorded(mut self, names: impl IntoIterator<Item = String>) -> Self {
        let recorded = names.into_iter().map(|name| {
            let metric = Metric {
                kind: Kind::Gauge,
                labels: Vec::new(),
            };
            (name, metric)
        });
        self.0.extend(recorded);
        self
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Metric> {
        self.0.get(name)
    }

    pub(crate) fn named(&self, name: &str) -> Option<Named<'_>> {
        if let Some(metric) = self.get(name) {
            return Some(Named { metric, part: None });
        }
        PARTS.iter().find_map(|part| {
            let metric = self.get(name.strip_suffix(part)?)?;
            let is_histogram = metric.kind == Kind::Histogram;
            is_histogram.then_some(Named {
                metric,
                part: Some(part),
            })
        })
    }
}

fn row(line: &str) -> Option<(String, Metric)> {
    let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
    let name = cells.next()?.trim_matches('`').to_owned();
    let kind = match cells.next()? {
        "counter" => Kind::Counter,
        "gauge" => Kind::Gauge,
        "histogram" => Kind::Histogram,
        _ => return None,
    };
    let labels = cells
        .nth(1)?
        .split(',')
        .map(|label| label.trim().trim_matches('`').to_owned());
    let labels = labels.filter(|label| !label.is_empty()).collect();
    Some((name, Metric { kind, labels }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_metric_and_a_histogram_has_three_parts() {
        let table = Table::read(
            "| metric | type | unit | labels | meaning |\n|---|---|---|---|---|\n\
             | `a_seconds` | histogram | seconds | `route`, `method` | Text |\n| `b` | gauge | | | Text |\n",
        );
        assert_eq!(table.get("a_seconds").unwrap().labels, ["route", "method"]);
        assert!(table.get("b").unwrap().labels.is_empty());
        assert_eq!(table.named("a_seconds_count").unwrap().part, Some("_count"));
        assert!(table.named("b_count").is_none());
    }
}
