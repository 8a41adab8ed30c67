use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::catalog;
use crate::family::{Definition, Family, Series, Value};

/// Seconds that a sparkline reaches back, one point each.
pub const SPARKLINE_SECONDS: usize = 300;
const NAMES: [&str; 5] = [
    "requests_per_second",
    "error_ratio",
    "p50_seconds",
    "p95_seconds",
    "cache_hit_ratio",
];

/// The recent past of one number, oldest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Sparkline {
    /// `requests_per_second`, `error_ratio`, `p50_seconds`, `p95_seconds` or `cache_hit_ratio`.
    pub name: &'static str,
    /// One point a second; `None` where there was no traffic to measure.
    pub points: Vec<Option<f64>>,
}

static RINGS: Mutex<Rings> = Mutex::new(Rings::new());

/// The recent past of the numbers on the admin page.
pub fn sparklines() -> Vec<Sparkline> {
    let rings = RINGS.lock();
    let one = |(name, ring): (&&'static str, &VecDeque<Option<f64>>)| Sparkline {
        name,
        points: ring.iter().copied().collect(),
    };
    NAMES.iter().zip(&rings.points).map(one).collect()
}

pub(crate) fn tick() {
    RINGS.lock().push(Totals::read());
}

struct Rings {
    points: [VecDeque<Option<f64>>; NAMES.len()],
    before: Option<Totals>,
}

impl Rings {
    const fn new() -> Self {
        Self {
            points: [const { VecDeque::new() }; NAMES.len()],
            before: None,
        }
    }

    fn push(&mut self, now: Totals) {
        if let Some(before) = self.before.replace(now)
            && let Some(now) = &self.before
        {
            for (ring, point) in self.points.iter_mut().zip(now.since(&before)) {
                if ring.len() == SPARKLINE_SECONDS {
                    ring.pop_front();
                }
                ring.push_back(point);
            }
        }
    }
}

/// The totals of all series at one moment.
struct Totals {
    requests: u64,
    errors: u64,
    latency: Vec<u64>,
    hits: u64,
    misses: u64,
}

impl Totals {
    fn read() -> Self {
        let server_error = |series: &Series| {
            series
                .labels
                .last()
                .is_some_and(|status| status.starts_with('5'))
        };
        Self {
            requests: total(catalog::http_requests_total::family(), |_| true),
            errors: total(catalog::http_requests_total::family(), server_error),
            latency: buckets(catalog::http_request_latency::family()),
            hits: total(catalog::cache_hits_total::family(), |_| true),
            misses: total(catalog::cache_misses_total::family(), |_| true),
        }
    }

    fn since(&self, before: &Self) -> [Option<f64>; NAMES.len()] {
        let requests = self.requests.saturating_sub(before.requests) as f64;
        let errors = self.errors.saturating_sub(before.errors) as f64;
        let hits = self.hits.saturating_sub(before.hits) as f64;
        let lookups = hits + self.misses.saturating_sub(before.misses) as f64;
        let earlier = before.latency.iter().copied().chain(std::iter::repeat(0));
        let latency: Vec<u64> = self
            .latency
            .iter()
            .zip(earlier)
            .map(|(now, then)| now.saturating_sub(then))
            .collect();
        [
            Some(requests),
            ratio(errors, requests),
            quantile(0.5, Definition::BUCKETS, &latency),
            quantile(0.95, Definition::BUCKETS, &latency),
            ratio(hits, lookups),
        ]
    }
}

fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

fn total(family: &Family, wanted: impl Fn(&Series) -> bool) -> u64 {
    let count = |series: &&Series| match &series.value {
        Value::Counter(counter) if wanted(series) => counter.get(),
        _ => 0,
    };
    family.sorted().iter().map(count).sum()
}

fn buckets(family: &Family) -> Vec<u64> {
    let mut sum = vec![0; family.definition().buckets.len() + 1];
    for series in family.sorted() {
        if let Value::Histogram(histogram) = &series.value {
            for (all, one) in sum.iter_mut().zip(histogram.snapshot()) {
                *all += one;
            }
        }
    }
    sum
}

/// As PromQL's `histogram_quantile`: linear inside the bucket, the highest bound where it lies above all.
fn quantile(q: f64, bounds: &[f64], counts: &[u64]) -> Option<f64> {
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return None;
    }
    let rank = q * total as f64;
    let mut below = 0.0;
    let mut lower = 0.0;
    for (bound, count) in bounds.iter().zip(counts) {
        let count = *count as f64;
        if below + count >= rank && count > 0.0 {
            return Some(lower + (bound - lower) * (rank - below) / count);
        }
        below += count;
        lower = *bound;
    }
    Some(lower)
}
