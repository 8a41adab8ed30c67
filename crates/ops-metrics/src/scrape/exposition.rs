use std::time::{Duration, Instant};
use std::vec;

use crate::builtin;
use crate::scrape::lines::{BATCH, Format, Metric, bounds};
use crate::series::family::{Family, Series};
use crate::series::registry::{facade_metrics, families};
use crate::series::scope::Scope;

/// An exposition that is written piece by piece: the catalogs in their order, then the metrics of other crates by name.
///
/// Between two pieces it holds the series of one family, 8 bytes each, and none of the written text.
pub(crate) struct Exposition {
    format: Format,
    /// True if creation times are written.
    created: bool,
    /// Metrics that have not been started.
    metrics: vec::IntoIter<Metric>,
    current: Option<Current>,
    bytes: usize,
    took: Duration,
    is_done: bool,
}

/// Metric that is being written.
struct Current {
    metric: Metric,
    /// Families of the metric that have not been started.
    families: vec::IntoIter<&'static Family>,
    bounds: Vec<String>,
    /// Name of the creation times, if they are written.
    created: Option<String>,
    series: Vec<&'static Series>,
    written: usize,
}

impl Exposition {
    /// Begins an exposition of the current scope.
    pub(crate) fn new(format: Format) -> Self {
        let catalogs = families().into_iter().map(Metric::of_catalog);
        let facade = facade_metrics().into_iter().map(Metric::of_facade);
        let metrics: Vec<_> = catalogs.chain(facade).collect();
        Self {
            format,
            created: format == Format::OpenMetrics && Scope::current().limits.created_samples(),
            metrics: metrics.into_iter(),
            current: None,
            bytes: 0,
            took: Duration::ZERO,
            is_done: false,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.is_done
    }

    /// Appends whole lines until there are `enough` bytes or nothing is left.
    pub(crate) fn fill(&mut self, out: &mut String, enough: usize) {
        let (started, before) = (Instant::now(), out.len());
        while !self.is_done && out.len() < enough {
            self.step(out);
        }
        self.bytes += out.len() - before;
        self.took += started.elapsed();
        if self.is_done {
            builtin::ops_metrics_render_seconds().observe(self.took.as_secs_f64());
            builtin::ops_metrics_render_bytes().set(self.bytes as f64);
        }
    }

    /// Writes the next batch of series, or the head of the next metric.
    fn step(&mut self, out: &mut String) {
        let Some(current) = &mut self.current else {
            return match self.metrics.next() {
                Some(mut metric) => {
                    metric.write_head(self.format, out);
                    let created = self.created.then(|| metric.created(self.format)).flatten();
                    let families = std::mem::take(&mut metric.families);
                    self.current = Some(Current {
                        metric,
                        families: families.into_iter(),
                        bounds: Vec::new(),
                        created,
                        series: Vec::new(),
                        written: 0,
                    });
                }
                None => {
                    if self.format == Format::OpenMetrics {
                        out.push_str("# EOF\n");
                    }
                    self.is_done = true;
                }
            };
        };
        let left = current.series.get(current.written..).unwrap_or_default();
        let batch = left.get(..BATCH.min(left.len())).unwrap_or_default();
        if !batch.is_empty() {
            current.written += batch.len();
            current.metric.write(
                self.format,
                &current.bounds,
                batch,
                current.created.as_deref(),
                out,
            );
        } else if let Some(family) = current.families.next() {
            current.bounds = bounds(family);
            current.series = family.sorted();
            current.written = 0;
        } else {
            if self.format == Format::Text {
                out.push('\n');
            }
            self.current = None;
        }
    }
}
