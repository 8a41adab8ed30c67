use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

/// Outcomes of the sampled spans that ended so far.
///
/// `ended_sampled` always equals `exported + rejected + queued` plus all [`dropped`](Stats::dropped) spans.
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
    /// Dropped: the circuit was open, because exports had failed or the collector had asked for a pause.
    pub dropped_circuit_open: u64,
    /// Dropped: the process was shutting down, and the budget was spent.
    pub dropped_shutdown: u64,
    /// Not sent: the exporter is `none` or `console`.
    pub dropped_no_exporter: u64,
    /// Waiting to be exported.
    pub queued: u64,
    /// Maximum number of spans that wait.
    pub queue_capacity: u64,
    /// Failed exports, all kinds of [`failures`](Self::failures) together. Retries are not counted separately.
    pub export_failures: u64,
    /// Failed exports by kind.
    pub failures: Failures,
    /// Exports from which the collector refused a part.
    pub partial_successes: u64,
    /// Dropped attributes: those without a key, and those above the limit.
    pub attributes_dropped: u64,
    /// Spans of unsampled traces that were dropped before their trace ended because too many were waiting; 0 unless
    /// `OPS_TRACE_KEEP` is set. They are not part of `ended_sampled`.
    pub tail_evicted: u64,
    /// True if the last export worked, and before the first one.
    pub exporter_up: bool,
}

/// Failed exports by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Failures {
    /// No connection: no listener at that address, or an unknown host.
    pub refused: u64,
    /// No response in time.
    pub timeout: u64,
    /// The collector responded with 4xx: an endpoint or a credential is wrong.
    pub http_4xx: u64,
    /// The collector responded with 5xx.
    pub http_5xx: u64,
    /// Anything else: connection reset, TLS, a redirect, a response that is not OTLP.
    pub other: u64,
}

/// State of the export: the collector, its last failure, and how long it takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct ExportHealth {
    /// URL that spans are posted to; `None` if the exporter is `none` or `console`.
    pub endpoint: Option<String>,
    /// True if nobody set the endpoint: it is the default on this machine, where there may be no collector.
    pub is_default_endpoint: bool,
    /// Start of the current failures; `None` while exports work.
    pub failing_since: Option<SystemTime>,
    /// Duration of the current failures, independent of changes of the clock; `None` while exports work.
    pub failing_for: Option<Duration>,
    /// Cause of the last failure.
    pub last_failure: Option<String>,
    /// HTTP status of the last failed export; `None` if it got no response.
    pub last_status: Option<u16>,
    /// Kind of the last failure: `refused`, `timeout`, `http_4xx`, `http_5xx` or `other`.
    pub last_kind: Option<&'static str>,
    /// Duration of the last export, retries included.
    pub last_duration: Option<Duration>,
}

impl Stats {
    /// Returns the number of dropped spans, of all reasons.
    pub fn dropped(&self) -> u64 {
        self.dropped_queue_full
            + self.dropped_export_failed
            + self.dropped_circuit_open
            + self.dropped_shutdown
            + self.dropped_no_exporter
    }
}

/// Outcomes of the log lines, or of the data points of metrics, that were
/// submitted for export so far (features `otlp-logs` and `otlp-metrics`).
///
/// `taken` always equals `exported + rejected + queued` plus all [`dropped`](Self::dropped) items.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct SignalStats {
    /// Items that were submitted for export.
    pub taken: u64,
    /// Accepted by the collector.
    pub exported: u64,
    /// Refused by the collector in a partial success.
    pub rejected: u64,
    /// Dropped: the queue was full.
    pub dropped_queue_full: u64,
    /// Dropped: the export failed.
    pub dropped_export_failed: u64,
    /// Dropped: the circuit was open, because exports had failed or the collector had asked for a pause.
    pub dropped_circuit_open: u64,
    /// Dropped: the process was shutting down, and the budget was spent.
    pub dropped_shutdown: u64,
    /// Waiting to be exported.
    pub queued: u64,
    /// Failed exports. Retries are not counted separately.
    pub export_failures: u64,
    /// Cause of the last failure.
    pub last_failure: Option<String>,
    /// True if the last export that was sent worked, and before the first one.
    pub exporter_up: bool,
}

impl SignalStats {
    /// Returns the number of dropped items, of all reasons.
    pub fn dropped(&self) -> u64 {
        self.dropped_queue_full
            + self.dropped_export_failed
            + self.dropped_circuit_open
            + self.dropped_shutdown
    }
}

/// Kind of a failed export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    Refused,
    Timeout,
    Http4xx,
    Http5xx,
    Other,
}

impl FailureKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Http4xx => "http_4xx",
            Self::Http5xx => "http_5xx",
            Self::Other => "other",
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Sampled spans that entered the queue (`admitted`), and those that left it (`left`).
    admitted: AtomicU64,
    left: AtomicU64,
    pub(crate) exported: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) queue_full: AtomicU64,
    pub(crate) export_failed: AtomicU64,
    pub(crate) circuit_open: AtomicU64,
    /// Sampled spans that ended after the shutdown of tracing began.
    pub(crate) late: AtomicU64,
    pub(crate) shutdown: AtomicU64,
    pub(crate) no_exporter: AtomicU64,
    pub(crate) failures: [AtomicU64; 5],
    pub(crate) partial_successes: AtomicU64,
    pub(crate) attributes_dropped: AtomicU64,
    pub(crate) queued_for_ring: AtomicUsize,
    pub(crate) down: AtomicBool,
}

impl Counters {
    /// Admits a span to the queue, unless the queue is at its capacity.
    pub(crate) fn admit(&self, capacity: usize) -> bool {
        let limit = self.left.load(Relaxed) + capacity as u64;
        let admit = |admitted| (admitted < limit).then_some(admitted + 1);
        self.admitted.fetch_update(Relaxed, Relaxed, admit).is_ok()
    }

    /// Counts spans that left the queue, whatever the outcome.
    pub(crate) fn leave(&self, spans: usize) {
        add(&self.left, spans);
    }

    /// Counts all spans in the queue as having left it, and returns their number.
    pub(crate) fn leave_all(&self) -> u64 {
        let admitted = self.admitted.load(Relaxed);
        admitted - self.left.swap(admitted, Relaxed)
    }

    pub(crate) fn failed(&self, kind: FailureKind) {
        self.failures[kind as usize].fetch_add(1, Relaxed);
    }

    fn failures(&self) -> Failures {
        let of = |kind: FailureKind| self.failures[kind as usize].load(Relaxed);
        Failures {
            refused: of(FailureKind::Refused),
            timeout: of(FailureKind::Timeout),
            http_4xx: of(FailureKind::Http4xx),
            http_5xx: of(FailureKind::Http5xx),
            other: of(FailureKind::Other),
        }
    }

    pub(crate) fn read(&self, capacity: usize) -> Stats {
        let left = self.left.load(Relaxed);
        let admitted = self.admitted.load(Relaxed).max(left);
        let (full, late) = (self.queue_full.load(Relaxed), self.late.load(Relaxed));
        Stats {
            ended_sampled: admitted + full + late,
            exported: self.exported.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            dropped_queue_full: full,
            dropped_export_failed: self.export_failed.load(Relaxed),
            dropped_circuit_open: self.circuit_open.load(Relaxed),
            dropped_shutdown: late + self.shutdown.load(Relaxed),
            dropped_no_exporter: self.no_exporter.load(Relaxed),
            queued: admitted - left,
            queue_capacity: capacity as u64,
            export_failures: self.failures.iter().map(|n| n.load(Relaxed)).sum(),
            failures: self.failures(),
            partial_successes: self.partial_successes.load(Relaxed),
            attributes_dropped: self.attributes_dropped.load(Relaxed),
            tail_evicted: 0,
            exporter_up: !self.down.load(Relaxed),
        }
    }
}

pub(crate) fn add(counter: &AtomicU64, n: usize) {
    counter.fetch_add(n as u64, Relaxed);
}
