use std::sync::atomic::Ordering::Relaxed;

use crate::Level;
use crate::context::late::LateTotals;
use crate::render::losses::Counters;

/// Counts of lines so far: `written + dropped` is the number of lines sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Number of lines that every output accepted.
    pub written: u64,
    /// Number of lines that some output did not accept completely.
    pub dropped: u64,
    /// Number of lines over a [`RateLimit`](crate::RateLimit), which were not sent.
    pub suppressed: u64,
    /// Number of lines of traces that are not sampled, see
    /// [`Config::sample_traces`](crate::Config::sample_traces), which were not sent.
    pub unsampled: u64,
    /// Number of lines that were kept for a request and written late, see
    /// [`LateLines`](crate::LateLines). Included in `written` or `dropped`.
    pub late_written: u64,
    /// Number of lines that were kept for a request and dropped, because it neither failed nor was slow.
    pub late_dropped: u64,
    /// Number of lines that were kept for a request and discarded for newer ones, or did not fit.
    pub late_cut: u64,
    /// Number of values that were cut and fields that were left out, because they were too long or too many.
    pub truncated: u64,
    /// Number of values that panicked or failed while they were formatted.
    pub value_errors: u64,
    /// Number of lines of each level, in the order of [`Level::ALL`].
    events: [u64; Level::ALL.len()],
}

impl Stats {
    /// Returns the number of lines of this level, accepted by the outputs or not.
    pub fn events(&self, level: Level) -> u64 {
        self.events[level as usize]
    }
}

/// Counts of lines of one part.
#[derive(Debug)]
pub(crate) struct Counts {
    written: u64,
    dropped: u64,
    pub(crate) suppressed: u64,
    pub(crate) unsampled: u64,
    events: [u64; Level::ALL.len()],
}

impl Counts {
    pub(crate) const fn new() -> Self {
        Self {
            written: 0,
            dropped: 0,
            suppressed: 0,
            unsampled: 0,
            events: [0; Level::ALL.len()],
        }
    }

    #[inline]
    pub(crate) fn count(&mut self, level: Level, taken: bool) {
        self.events[level as usize] += 1;
        self.written += u64::from(taken);
        self.dropped += u64::from(!taken);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.written += other.written;
        self.dropped += other.dropped;
        self.suppressed += other.suppressed;
        self.unsampled += other.unsampled;
        for (sum, count) in self.events.iter_mut().zip(other.events) {
            *sum += count;
        }
    }

    pub(crate) fn stats(&self, counters: &Counters, late: &LateTotals) -> Stats {
        Stats {
            written: self.written,
            dropped: self.dropped,
            suppressed: self.suppressed,
            unsampled: self.unsampled,
            late_written: late.written.load(Relaxed),
            late_dropped: late.dropped.load(Relaxed),
            late_cut: late.cut.load(Relaxed),
            truncated: counters.truncated_so_far(),
            value_errors: counters.value_errors_so_far(),
            events: self.events,
        }
    }
}

/// Reports the totals to the `metrics` recorder.
#[cfg(feature = "metrics")]
pub fn publish_metrics() {
    let stats = crate::pipeline::GLOBAL.stats();
    for level in Level::ALL {
        let events = metrics::counter!("log_events_total", "level" => level.as_str());
        events.absolute(stats.events(level));
    }
    metrics::counter!("log_lines_written_total").absolute(stats.written);
    metrics::counter!("log_lines_dropped_total").absolute(stats.dropped);
    metrics::counter!("log_lines_suppressed_total").absolute(stats.suppressed);
    metrics::counter!("log_lines_unsampled_total").absolute(stats.unsampled);
    for (outcome, lines) in [
        ("written", stats.late_written),
        ("dropped", stats.late_dropped),
        ("cut", stats.late_cut),
    ] {
        metrics::counter!("log_late_lines_total", "outcome" => outcome).absolute(lines);
    }
    metrics::counter!("log_values_truncated_total").absolute(stats.truncated);
    metrics::counter!("log_value_errors_total").absolute(stats.value_errors);
}
