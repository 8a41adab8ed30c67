use crate::pipeline::ring::Ring;
use crate::render::losses::Counters;

/// Counts of lines so far: `written + dropped` is the number of lines sent.
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

/// The lines so far: one lock for all that is to be noted about one.
#[derive(Debug)]
pub(crate) struct LineLog {
    pub(crate) recent: Ring,
    written: u64,
    dropped: u64,
}

impl LineLog {
    pub(crate) const fn new() -> Self {
        Self {
            recent: Ring::new(),
            written: 0,
            dropped: 0,
        }
    }

    #[inline]
    pub(crate) fn count(&mut self, taken: bool) {
        self.written += u64::from(taken);
        self.dropped += u64::from(!taken);
    }

    /// Keeps lines of our own.
    #[cold]
    pub(crate) fn keep_all(&mut self, lines: &mut Vec<Vec<u8>>, capacity: usize) {
        for mut line in lines.drain(..) {
            self.recent.push(&mut line, capacity);
        }
    }

    pub(crate) fn stats(&self, counters: &Counters) -> Stats {
        Stats {
            written: self.written,
            dropped: self.dropped,
            truncated: counters.truncated_so_far(),
            value_errors: counters.value_errors_so_far(),
        }
    }
}

/// Tells the `metrics` recorder the totals so far.
#[cfg(feature = "metrics")]
pub fn publish_metrics() {
    let stats = crate::pipeline::GLOBAL.stats();
    metrics::counter!("log_lines_written_total").absolute(stats.written);
    metrics::counter!("log_lines_dropped_total").absolute(stats.dropped);
    metrics::counter!("log_values_truncated_total").absolute(stats.truncated);
    metrics::counter!("log_value_errors_total").absolute(stats.value_errors);
}
