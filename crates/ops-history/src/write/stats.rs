use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Snapshot of a history's statistics.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Log lines.
    pub lines: Counts,
    /// Spans.
    pub spans: Counts,
    /// Samples of metrics.
    pub samples: Counts,
    /// Number of files written, without merged ones.
    pub files_written: u64,
    /// Number of merges.
    pub merges: u64,
    /// Number of times that the directory was checked for files to merge or remove.
    pub looks: u64,
    /// Reason why nothing is written; `None` while writing works.
    pub stopped: Option<String>,
    /// Reason why files are neither merged nor removed; `None` while that works.
    pub untidy: Option<String>,
    /// Files named like history files that cannot be read, each with the reason.
    pub unreadable: Vec<String>,
    /// Number of this run in its directory.
    pub run: u64,
}

/// Counts of one kind of record. Every record offered is written, dropped or waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Number of records offered.
    pub offered: u64,
    /// Number of records in files.
    pub written: u64,
    /// Number of records dropped because the queue was full.
    pub queue_full: u64,
    /// Number of records dropped because they were too long.
    pub too_long: u64,
    /// Number of records dropped because they were not a JSON object.
    pub unreadable: u64,
    /// Number of records dropped because nothing could be written.
    pub stopped: u64,
    /// Number of records dropped because the history was closed.
    pub closed: u64,
}

impl Counts {
    /// Returns the number of dropped records.
    pub fn dropped(&self) -> u64 {
        self.queue_full + self.too_long + self.unreadable + self.stopped + self.closed
    }

    /// Returns the number of records neither written nor dropped yet.
    pub fn waiting(&self) -> u64 {
        self.offered.saturating_sub(self.written + self.dropped())
    }

    fn plus(mut self, other: Self) -> Self {
        self.offered += other.offered;
        self.written += other.written;
        self.queue_full += other.queue_full;
        self.too_long += other.too_long;
        self.unreadable += other.unreadable;
        self.stopped += other.stopped;
        self.closed += other.closed;
        self
    }
}

/// Counts of the queue: records offered and records rejected.
#[derive(Clone, Copy, Default)]
pub(super) struct Offered {
    pub(super) lines: Counts,
    pub(super) spans: Counts,
    pub(super) samples: Counts,
}

/// Results of the threads of a history.
#[derive(Default)]
pub(super) struct SharedStats {
    state: Mutex<Stats>,
    flushed: Mutex<u64>,
    changed: Condvar,
}

impl SharedStats {
    /// Returns the number of the run.
    pub(super) fn run(&self) -> u64 {
        self.state().run
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut self.state());
    }

    fn state(&self) -> MutexGuard<'_, Stats> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the statistics. The queue's counts are read last, so that no record is counted as written before it is
    /// counted as offered.
    pub(super) fn snapshot(&self, offered: impl FnOnce() -> Offered) -> Stats {
        let mut stats = self.state().clone();
        let offered = offered();
        stats.lines = stats.lines.plus(offered.lines);
        stats.spans = stats.spans.plus(offered.spans);
        stats.samples = stats.samples.plus(offered.samples);
        stats
    }

    pub(super) fn flushed(&self, number: u64) {
        let mut flushed = self.flushed.lock().unwrap_or_else(PoisonError::into_inner);
        *flushed = number;
        self.changed.notify_all();
    }

    /// Waits for a flush; returns `false` on timeout.
    pub(super) fn wait(&self, number: u64, budget: Duration) -> bool {
        let started = Instant::now();
        let mut flushed = self.flushed.lock().unwrap_or_else(PoisonError::into_inner);
        while *flushed < number {
            let left = budget.saturating_sub(started.elapsed());
            if left.is_zero() {
                return false;
            }
            let waited = self.changed.wait_timeout(flushed, left);
            flushed = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}
