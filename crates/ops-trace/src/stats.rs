use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// What became of the sampled spans that ended so far.
///
/// Between exports `ended_sampled` equals `exported + rejected + queued` and all that was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Sampled spans that ended.
    pub ended_sampled: u64,
    /// Accepted by the collector.
    pub exported: u64,
    /// Refused by the collector in a partial success.
    pub rejected: u64,
    /// Dropped: the queue was full.
    pub dropped_queue_full: u64,
    /// Dropped: the export failed.
    pub dropped_export_failed: u64,
    /// Dropped: the collector is known to be away.
    pub dropped_circuit_open: u64,
    /// Dropped: the process was stopping, and the budget spent.
    pub dropped_shutdown: u64,
    /// Not sent: the exporter is `none`.
    pub dropped_no_exporter: u64,
    /// Waiting to be exported.
    pub queued: u64,
    /// How many may wait.
    pub queue_capacity: u64,
    /// Failed export calls.
    pub export_failures: u64,
    /// Whether the last export worked; true until one failed.
    pub exporter_up: bool,
}

impl Stats {
    /// All dropped spans, for whatever reason.
    pub fn dropped(&self) -> u64 {
        self.dropped_queue_full
            + self.dropped_export_failed
            + self.dropped_circuit_open
            + self.dropped_shutdown
            + self.dropped_no_exporter
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) ended_sampled: AtomicU64,
    pub(crate) exported: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) queue_full: AtomicU64,
    pub(crate) export_failed: AtomicU64,
    pub(crate) circuit_open: AtomicU64,
    pub(crate) shutdown: AtomicU64,
    pub(crate) no_exporter: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) queued: AtomicUsize,
    pub(crate) down: AtomicBool,
}

impl Counters {
    pub(crate) fn read(&self, capacity: usize) -> Stats {
        Stats {
            ended_sampled: self.ended_sampled.load(Relaxed),
            exported: self.exported.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            dropped_queue_full: self.queue_full.load(Relaxed),
            dropped_export_failed: self.export_failed.load(Relaxed),
            dropped_circuit_open: self.circuit_open.load(Relaxed),
            dropped_shutdown: self.shutdown.load(Relaxed),
            dropped_no_exporter: self.no_exporter.load(Relaxed),
            queued: self.queued.load(Relaxed) as u64,
            queue_capacity: capacity as u64,
            export_failures: self.failures.load(Relaxed),
            exporter_up: !self.down.load(Relaxed),
        }
    }
}

pub(crate) fn add(counter: &AtomicU64, n: usize) {
    counter.fetch_add(n as u64, Relaxed);
}
