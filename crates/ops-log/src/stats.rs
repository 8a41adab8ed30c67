use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What happened to lines so far: `written + dropped` is what was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Lines that every output took.
    pub written: u64,
    /// Lines that an output did not take as a whole.
    pub dropped: u64,
    /// Values that were cut and fields that were left out, because they were too long or too many.
    pub truncated: u64,
    /// Values that panicked or failed while they were formatted.
    pub value_errors: u64,
}

/// The same, while it is counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    written: AtomicU64,
    dropped: AtomicU64,
    truncated: AtomicU64,
    value_errors: AtomicU64,
}

impl Counters {
    pub(crate) const fn new() -> Self {
        Self {
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            truncated: AtomicU64::new(0),
            value_errors: AtomicU64::new(0),
        }
    }

    #[inline]
    pub(crate) fn line(&self, taken: bool) {
        let counter = if taken { &self.written } else { &self.dropped };
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn truncated(&self, count: u64) {
        self.truncated.fetch_add(count, Relaxed);
    }

    pub(crate) fn value_error(&self) {
        self.value_errors.fetch_add(1, Relaxed);
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            written: self.written.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            truncated: self.truncated.load(Relaxed),
            value_errors: self.value_errors.load(Relaxed),
        }
    }
}

/// Tells the `metrics` recorder the totals so far.
#[cfg(feature = "metrics")]
pub fn publish_metrics() {
    let stats = crate::stats();
    metrics::counter!("log_lines_written_total").absolute(stats.written);
    metrics::counter!("log_lines_dropped_total").absolute(stats.dropped);
    metrics::counter!("log_values_truncated_total").absolute(stats.truncated);
    metrics::counter!("log_value_errors_total").absolute(stats.value_errors);
}
