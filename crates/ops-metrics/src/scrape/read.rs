use crate::error::Error;
use crate::recorder;
use crate::scrape::preparation::prepare;
use crate::series::definition::MetricDefinition;
use crate::series::facade::FacadeMetric;
use crate::series::family::{Family, Value};
use crate::series::registry::{facade_metrics, families};

/// A series as a scrape would show it; see [`read`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SeriesReading<'a> {
    /// Definition of the metric. The help of a metric of another crate is only in [`help`](Self::help).
    pub definition: &'a MetricDefinition,
    /// Description of the metric.
    pub help: &'a str,
    /// Names and values of the labels. Labels with an empty value
    /// are left out, because Prometheus treats them as absent.
    pub labels: &'a [(&'static str, &'a str)],
    /// Value of the series.
    pub value: Reading<'a>,
}

/// Value of a series at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reading<'a> {
    /// A total that only grows.
    Counter(u64),
    /// A total of time that only grows, in seconds.
    Seconds(f64),
    /// A value that can go up and down.
    Gauge(f64),
    /// Observations in buckets.
    Histogram {
        /// Upper bounds, ascending, without `+Inf`.
        bounds: &'a [f64],
        /// Number of observations in each bucket, not cumulated; the last bucket is above all bounds.
        counts: &'a [u64],
        /// Sum of the observations.
        sum: f64,
    },
}

/// Calls `visit` for each series that a scrape would show, in the same order, after the hooks of
/// [`before_scrape`](crate::before_scrape) have run: for exports to systems other than Prometheus.
///
/// It waits for the hooks like a scrape, for at most 2 s, and then continues without them.
///
/// # Errors
///
/// [`Error::NotInstalled`] before [`init`](crate::init).
pub fn read(visit: &mut dyn FnMut(&SeriesReading<'_>)) -> Result<(), Error> {
    if !recorder::is_installed() {
        return Err(Error::NotInstalled);
    }
    prepare();
    for family in families() {
        read_family(family, family.definition().help(), visit);
    }
    for metric in facade_metrics() {
        let help = metric.help.get().map_or("", |help| help.as_ref()).trim();
        for family in FacadeMetric::families(metric) {
            read_family(family, help, visit);
        }
    }
    Ok(())
}

fn read_family(family: &Family, help: &str, visit: &mut dyn FnMut(&SeriesReading<'_>)) {
    let definition = family.definition();
    for series in family.sorted() {
        let names = definition.labels.iter().map(|label| label.name);
        let labels = names.zip(series.labels.iter().map(AsRef::as_ref));
        let labels: Vec<_> = labels.filter(|(_, value)| !value.is_empty()).collect();
        let counts;
        let value = match &series.value {
            Value::Counter(counter) => Reading::Counter(counter.get()),
            Value::Seconds(seconds) => Reading::Seconds(seconds.get().as_secs_f64()),
            Value::Gauge(gauge) => Reading::Gauge(gauge.get()),
            Value::Histogram(histogram) => {
                counts = histogram.snapshot();
                Reading::Histogram {
                    bounds: family.buckets(),
                    counts: &counts,
                    sum: histogram.sum(),
                }
            }
        };
        visit(&SeriesReading {
            definition,
            help,
            labels: &labels,
            value,
        });
    }
}
