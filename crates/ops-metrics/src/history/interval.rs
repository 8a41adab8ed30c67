use std::panic::catch_unwind;
use std::time::Duration;

use parking_lot::RwLock;

use crate::builtin;
use crate::history::process;
use crate::series::distribution::{Distribution, FINE_BUCKETS};
use crate::series::family::{Family, Series, Value};

/// Sparklines that always exist; the admin page depends on their order.
const NAMES: [&str; 9] = [
    "requests_per_second",
    "error_ratio",
    "p50_seconds",
    "p95_seconds",
    "cache_hit_ratio",
    "p99_seconds",
    "requests_in_flight",
    "resident_memory_bytes",
    "cpu_cores",
];

type Source = fn() -> Option<f64>;

static ADDED: RwLock<Vec<(&'static str, Source)>> = RwLock::new(Vec::new());

/// Adds a sparkline that reads `source` each second, such as the depth of a queue. A sparkline with an
/// existing name is not changed. A panic in `source` is caught, and leaves a gap. If it does not
/// return within 2 s, `sparkline_source_hangs` is logged once, and no source is read until it has
/// returned: all added sparklines have gaps, and the others continue.
///
/// ```
/// ops_metrics::define! { /** Jobs that wait. */ gauge jobs_waiting {} }
/// ops_metrics::add_sparkline("jobs_waiting", || Some(jobs_waiting().get()));
/// assert!(ops_metrics::sparklines().iter().any(|line| line.name == "jobs_waiting"));
/// ```
pub fn add_sparkline(name: &'static str, source: fn() -> Option<f64>) {
    let mut added = ADDED.write();
    let known = NAMES.contains(&name) || added.iter().any(|(known, _)| *known == name);
    if !known {
        added.push((name, source));
    }
}

/// Counts of one second, or of several merged ones.
#[derive(Clone, Debug)]
pub(crate) struct Interval {
    /// Time between the two ticks, which is exactly a second only if neither was late.
    length: Duration,
    requests: u64,
    errors: u64,
    hits: u64,
    misses: u64,
    pub(crate) latency: Distribution,
    /// Processor time of the process; `None` if it is unknown.
    cpu: Option<Duration>,
    /// Values at the end of the interval.
    gauges: Vec<Option<f64>>,
}

impl Interval {
    pub(crate) fn names() -> Vec<&'static str> {
        let added = ADDED.read();
        let of_added = added.iter().map(|(name, _)| *name);
        NAMES.into_iter().chain(of_added).collect()
    }

    /// Returns the values in the order of the names.
    pub(crate) fn values(&self) -> Vec<Option<f64>> {
        let ratio = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let per_second =
            |total: f64| (!self.length.is_zero()).then(|| total / self.length.as_secs_f64());
        let [in_flight, memory] = [0, 1].map(|at| self.gauges.get(at).copied().flatten());
        let mut values = vec![
            per_second(self.requests as f64),
            ratio(self.errors, self.requests),
            self.latency.quantile(0.5),
            self.latency.quantile(0.95),
            ratio(self.hits, self.hits.saturating_add(self.misses)),
            self.latency.quantile(0.99),
            in_flight,
            memory,
            self.cpu.and_then(|time| per_second(time.as_secs_f64())),
        ];
        values.extend(self.gauges.iter().skip(2).copied());
        values
    }

    pub(crate) fn merge(&mut self, later: &Self) {
        self.length += later.length;
        self.requests = self.requests.saturating_add(later.requests);
        self.errors = self.errors.saturating_add(later.errors);
        self.hits = self.hits.saturating_add(later.hits);
        self.misses = self.misses.saturating_add(later.misses);
        self.latency.merge(&later.latency);
        let both = self.cpu.zip(later.cpu);
        self.cpu = both.map(|(earlier, later)| earlier + later);
        self.gauges.clone_from(&later.gauges);
    }
}

/// Totals of all series at one moment.
#[derive(Debug)]
pub(crate) struct Totals {
    requests: u64,
    errors: u64,
    hits: u64,
    misses: u64,
    cpu: Option<Duration>,
    latency: Box<[u32; FINE_BUCKETS]>,
    gauges: Vec<Option<f64>>,
}

impl Totals {
    /// Reads all totals; `added` has the values of the added sparklines.
    pub(crate) fn read(added: Vec<Option<f64>>) -> Self {
        let requests = builtin::http_requests_total::family();
        let failures = builtin::http_response_failures_total::family();
        let failed = |series: &Series| is_for_users(series) && is_server_error(series);
        Self {
            requests: total(requests, is_for_users),
            errors: total(requests, failed).wrapping_add(total(failures, is_for_users)),
            hits: total(builtin::cache_hits_total::family(), is_of_queries),
            misses: total(builtin::cache_misses_total::family(), is_of_queries),
            cpu: process::cpu_time(),
            latency: latency_buckets(builtin::http_request_latency::family()),
            gauges: gauges(added),
        }
    }

    /// Returns the difference to `before`, which was `length` ago.
    pub(crate) fn since(&self, before: &Self, length: Duration) -> Interval {
        let mut latency = [0; FINE_BUCKETS];
        let pairs = self.latency.iter().zip(before.latency.iter());
        for (count, (now, then)) in latency.iter_mut().zip(pairs) {
            *count = now.wrapping_sub(*then);
        }
        let requests = self.requests.saturating_sub(before.requests);
        Interval {
            length,
            requests,
            // requests are read first: a request that ends in between is counted among the failures only
            errors: (self.errors.saturating_sub(before.errors)).min(requests),
            hits: self.hits.saturating_sub(before.hits),
            misses: self.misses.saturating_sub(before.misses),
            latency: Distribution::from_counts(latency),
            cpu: self
                .cpu
                .zip(before.cpu)
                .map(|(now, then)| now.saturating_sub(then)),
            gauges: self.gauges.clone(),
        }
    }
}

/// Reports whether a series belongs to the cache of queries;
/// the cache of HTTP responses counts revalidations by clients.
fn is_of_queries(series: &Series) -> bool {
    series.labels.first().is_some_and(|kind| **kind == *"query")
}

/// Reports whether a series counts neither probes nor scrapes, by the route, which is the first label.
pub(crate) fn is_for_users(series: &Series) -> bool {
    !series.labels.first().is_some_and(|route| is_quiet(route))
}

#[cfg(feature = "http")]
use ops_http::is_quiet;

/// Stand-in without the feature `http`: no requests are observed by route.
#[cfg(not(feature = "http"))]
fn is_quiet(_: &str) -> bool {
    false
}

pub(crate) fn is_server_error(series: &Series) -> bool {
    let status = series.labels.last();
    status.is_some_and(|status| status.starts_with('5'))
}

fn gauges(added: Vec<Option<f64>>) -> Vec<Option<f64>> {
    let in_flight = builtin::http_requests_in_flight().get();
    let memory = gauge_value(builtin::process_resident_memory_bytes::family());
    [Some(in_flight), memory].into_iter().chain(added).collect()
}

/// Reports whether a sparkline was added.
pub(crate) fn has_sources() -> bool {
    !ADDED.read().is_empty()
}

/// Reads the values of the added sparklines.
pub(crate) fn read_sources() -> Vec<Option<f64>> {
    let added = ADDED.read().clone();
    let read = |(_, source): (_, Source)| {
        // the panic hook logs the panic
        let value = catch_unwind(source).ok().flatten();
        value.filter(|value| value.is_finite())
    };
    added.into_iter().map(read).collect()
}

/// Returns the value of a gauge without labels; `None` if it has none yet.
fn gauge_value(family: &Family) -> Option<f64> {
    let series = family.sorted();
    match &series.first()?.value {
        Value::Gauge(gauge) => Some(gauge.get()),
        _ => None,
    }
}

/// Returns the sum, which wraps around like the totals.
fn total(family: &Family, wanted: impl Fn(&Series) -> bool) -> u64 {
    let count = |series: &&Series| match &series.value {
        Value::Counter(counter) if wanted(series) => counter.get(),
        _ => 0,
    };
    let counts = family.sorted();
    counts.iter().map(count).fold(0, u64::wrapping_add)
}

fn latency_buckets(family: &Family) -> Box<[u32; FINE_BUCKETS]> {
    let mut sum = Box::new([0; FINE_BUCKETS]);
    for series in family.sorted() {
        if let Value::Histogram(histogram) = &series.value
            && is_for_users(series)
        {
            histogram.add_fine_to(&mut sum);
        }
    }
    sum
}
