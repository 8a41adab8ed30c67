use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::series::distribution::{FINE_BUCKETS, FineCounts};
use crate::series::exemplar::{self, Exemplar, Exemplars, TraceId};
use crate::series::rejected::Rejected;

/// Maximum number that a counter accepts at once; a larger one is a negative number that was cast.
const COUNT_MAX: u64 = u64::MAX >> 1;

/// A total that only grows.
#[derive(Debug)]
pub struct Counter {
    rejected: &'static Rejected,
    total: AtomicU64,
}

impl Default for Counter {
    fn default() -> Self {
        static REJECTED: Rejected = Rejected::new();
        Self::new(&REJECTED)
    }
}

impl Counter {
    pub(crate) const fn new(rejected: &'static Rejected) -> Self {
        Self {
            rejected,
            total: AtomicU64::new(0),
        }
    }

    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`. A number above `i64::MAX`, such as a negative one that was cast, is refused and counted.
    #[inline]
    pub fn add(&self, n: u64) {
        if n > COUNT_MAX {
            return self.rejected.negative();
        }
        self.total.fetch_add(n, Ordering::Relaxed);
    }

    /// Raises the total to `n`, for totals that are counted elsewhere; a lower `n`
    /// changes nothing. A number above `i64::MAX` is refused and counted.
    pub fn absolute(&self, n: u64) {
        if n > COUNT_MAX {
            return self.rejected.negative();
        }
        self.total.fetch_max(n, Ordering::Relaxed);
    }

    /// Returns the total.
    pub fn get(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

/// A total of time that only grows, in nanoseconds; it wraps after 584 years.
#[derive(Debug, Default)]
pub struct Seconds(AtomicU64);

impl Seconds {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds this time.
    #[inline]
    pub fn add(&self, time: Duration) {
        self.0.fetch_add(nanoseconds(time), Ordering::Relaxed);
    }

    /// Raises the total to `time`, for totals that are counted elsewhere; a lower one changes nothing.
    pub fn absolute(&self, time: Duration) {
        self.0.fetch_max(nanoseconds(time), Ordering::Relaxed);
    }

    /// Returns the total.
    pub fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A value that can go up and down.
#[derive(Debug)]
pub struct Gauge {
    rejected: &'static Rejected,
    bits: AtomicU64,
}

impl Gauge {
    pub(crate) const fn new(rejected: &'static Rejected) -> Self {
        Self {
            rejected,
            bits: AtomicU64::new(0),
        }
    }

    /// Sets the value. A non-finite value is refused and counted.
    #[inline]
    pub fn set(&self, value: f64) {
        if value.is_finite() {
            self.bits.store(value.to_bits(), Ordering::Relaxed);
        } else {
            self.rejected.non_finite();
        }
    }

    /// Adds `delta`, which may be negative. If the result would not be finite, it is refused and counted.
    #[inline]
    pub fn add(&self, delta: f64) {
        if !add_float(&self.bits, delta) {
            self.rejected.non_finite();
        }
    }

    /// Returns the value.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.bits.load(Ordering::Relaxed))
    }
}

/// Distribution of observed values over buckets.
#[derive(Debug)]
pub struct Histogram {
    rejected: &'static Rejected,
    bounds: &'static [f64],
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
    fine: FineCounts,
    exemplars: Exemplars,
}

impl Histogram {
    pub(crate) fn new(rejected: &'static Rejected, bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self {
            rejected,
            bounds,
            counts,
            sum: AtomicU64::new(0),
            fine: FineCounts::new(),
            exemplars: Exemplars::default(),
        }
    }

    /// Counts `value` in its bucket, with the current trace as its exemplar. A value that is negative, not finite, or
    /// would make the sum non-finite is refused and counted.
    #[inline]
    pub fn observe(&self, value: f64) {
        if let Some(bucket) = self.count_value(value)
            && let Some(trace) = exemplar::current_trace()
        {
            self.keep_exemplar(bucket, trace, value);
        }
    }

    /// Counts `value` in its bucket, with this trace as its exemplar.
    #[cfg(feature = "http")]
    #[inline]
    pub(crate) fn observe_in(&self, value: f64, trace: Option<TraceId>) {
        if let Some(bucket) = self.count_value(value)
            && let Some(trace) = trace
        {
            self.keep_exemplar(bucket, trace, value);
        }
    }

    /// Counts the value and returns its bucket; `None` if it is refused.
    #[inline]
    fn count_value(&self, value: f64) -> Option<usize> {
        if !value.is_finite() {
            self.rejected.non_finite();
            return None;
        }
        if value < 0.0 {
            self.rejected.negative();
            return None;
        }
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        let count = self.counts.get(bucket)?;
        if !add_float(&self.sum, value) {
            self.rejected.non_finite();
            return None;
        }
        count.fetch_add(1, Ordering::Relaxed);
        self.fine.count(value);
        Some(bucket)
    }

    #[cold]
    fn keep_exemplar(&self, bucket: usize, trace: TraceId, value: f64) {
        self.exemplars.set(bucket, self.counts.len(), trace, value);
    }

    pub(crate) fn exemplar(&self, bucket: usize) -> Option<Exemplar> {
        self.exemplars.get(bucket)
    }

    /// Starts a timer that observes the elapsed seconds when it is dropped.
    pub fn start_timer(&'static self) -> Timer {
        Timer {
            histogram: self,
            start: Instant::now(),
        }
    }

    /// Returns the number of observed values.
    pub fn count(&self) -> u64 {
        self.snapshot().iter().sum()
    }

    /// Returns the sum of the observed values.
    pub fn sum(&self) -> f64 {
        f64::from_bits(self.sum.load(Ordering::Relaxed))
    }

    /// Returns the number of values in each bucket, not cumulated; the last bucket is above all bounds.
    pub(crate) fn snapshot(&self) -> Vec<u64> {
        self.counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .collect()
    }

    pub(crate) fn add_fine_to(&self, sum: &mut [u32; FINE_BUCKETS]) {
        self.fine.add_to(sum);
    }
}

/// Timer that observes the time since [`Histogram::start_timer`]
/// when dropped: after success, error, panic or cancellation.
#[derive(Debug)]
#[must_use = "a timer that is dropped immediately measures nothing"]
pub struct Timer {
    histogram: &'static Histogram,
    start: Instant,
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.histogram.observe(self.start.elapsed().as_secs_f64());
    }
}

/// Adds to a float; returns false, and adds nothing, if the sum would not be finite.
#[inline]
fn add_float(bits: &AtomicU64, delta: f64) -> bool {
    let mut seen = bits.load(Ordering::Relaxed);
    loop {
        let next = f64::from_bits(seen) + delta;
        if !next.is_finite() {
            return false;
        }
        let next = next.to_bits();
        match bits.compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(now) => seen = now,
        }
    }
}
