//! Numbers that the rules judge, read at one moment. A part that is compiled out has none.

use std::time::{Duration, SystemTime};

#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// Time since the first snapshot, by the monotonic clock.
    pub(crate) at: Duration,
    pub(crate) wall: SystemTime,
    /// `OPS_ENV` is `production`.
    pub(crate) is_production: bool,
    pub(crate) export: Option<Export>,
    pub(crate) secrets: Option<Secrets>,
    pub(crate) log: Option<Log>,
    pub(crate) black_box: Option<BlackBox>,
    pub(crate) history: Option<History>,
    pub(crate) cache: Option<Cache>,
    pub(crate) shared: Option<Shared>,
    pub(crate) queries: Option<Queries>,
    pub(crate) metrics: Option<Metrics>,
    pub(crate) disks: Vec<Disk>,
    pub(crate) heartbeat: Heartbeat,
}

impl Snapshot {
    /// A snapshot without any part, now.
    pub(crate) fn nothing(is_production: bool) -> Self {
        Self {
            at: Duration::ZERO,
            wall: SystemTime::now(),
            is_production,
            export: None,
            secrets: None,
            log: None,
            black_box: None,
            history: None,
            cache: None,
            shared: None,
            queries: None,
            metrics: None,
            disks: Vec::new(),
            heartbeat: Heartbeat::default(),
        }
    }
}

/// The black box, and the run before.
#[derive(Clone, Debug, Default)]
pub(crate) struct BlackBox {
    /// Reason why there is none although one was asked for.
    pub(crate) off: Option<String>,
    /// End of the run before, if it was not clean.
    pub(crate) ended: Option<Ended>,
}

/// The history of lines, spans and metrics.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// Reason why nothing is written although it was asked for.
    pub(crate) stopped: Option<String>,
    /// Reason why files are neither merged nor removed.
    pub(crate) untidy: Option<String>,
    /// Records that were dropped while it was not stopped.
    pub(crate) dropped: u64,
    pub(crate) written: u64,
    /// Files that cannot be read, each with the reason.
    pub(crate) unreadable: Vec<String>,
}

/// End of a run that was not clean.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) how: String,
    pub(crate) at: SystemTime,
    /// File with its last seconds.
    pub(crate) kept: String,
}

/// Export of spans.
#[derive(Clone, Debug, Default)]
pub(crate) struct Export {
    pub(crate) endpoint: Option<String>,
    /// Nobody configured the endpoint.
    pub(crate) is_default: bool,
    /// Time for which exports have failed, by the monotonic clock; `None` while they work.
    pub(crate) failing_for: Option<Duration>,
    pub(crate) failure: String,
    pub(crate) kind: &'static str,
    pub(crate) status: Option<u16>,
    pub(crate) last_duration: Option<Duration>,
    pub(crate) ended: u64,
    /// Spans that wait to be sent, and those that are being sent.
    pub(crate) queued: u64,
    pub(crate) queue_full: u64,
    pub(crate) export_failed: u64,
    pub(crate) circuit_open: u64,
    pub(crate) rejected: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Secrets {
    pub(crate) known: Vec<SecretState>,
    pub(crate) stale_served: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct SecretState {
    pub(crate) name: String,
    pub(crate) env_var: String,
    pub(crate) is_required: bool,
    pub(crate) is_present: bool,
    pub(crate) is_asked: bool,
    pub(crate) is_default: bool,
    /// It is secret, unlike a setting that may well be at its default.
    pub(crate) is_sensitive: bool,
    pub(crate) is_stale: bool,
    pub(crate) age: Option<u64>,
    /// Kind of the last failure at a remote source, as the resolver names it; `None` once it is so old that it may be over.
    pub(crate) error: Option<&'static str>,
    /// Name of the source that failed.
    pub(crate) failed_at: &'static str,
    pub(crate) detail: String,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub(crate) written: u64,
    pub(crate) dropped: u64,
    /// Files with a reason why they take no line.
    pub(crate) problems: Vec<(String, String)>,
    /// Every output, with the number of lines that it did not take.
    pub(crate) lost: Vec<(String, u64)>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cache {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) evicted: u64,
    pub(crate) invalidated: u64,
    pub(crate) expired: u64,
    pub(crate) not_stored: u64,
    pub(crate) is_paused: bool,
}

/// The bucket that machines share results through.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared {
    /// Secret with its key, if the source of that could not be asked: then it is off.
    pub(crate) missing_key: Option<String>,
    /// Time since which it is not asked, as it did not answer.
    pub(crate) open_since: Option<SystemTime>,
    /// It ignores conditions of writes.
    pub(crate) is_unconditional: bool,
    pub(crate) failed: u64,
    pub(crate) dropped: u64,
}

/// Queries that reached the engine.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Queries {
    pub(crate) run: u64,
    pub(crate) failed: u64,
    /// Longer than a second.
    pub(crate) slow: u64,
}

/// Duration from which a query counts as slow.
#[cfg(any(feature = "cache", feature = "trace"))]
pub(crate) const SLOW_QUERY: Duration = Duration::from_secs(1);

/// Numbers that the metrics have read already; `None` where the machine does not tell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) requests: f64,
    /// Requests that ended with 5xx, broke off after their head, or were calls of gRPC that failed.
    pub(crate) server_errors: f64,
    /// Requests of these that ended as a panic ends them, with 500 or as a panic; `None` if that is not told apart.
    pub(crate) internal_errors: Option<f64>,
    /// Requests that `max_in_flight` of a service refused.
    pub(crate) refused: u64,
    /// Requests that took longer than `timeout` of a service allows.
    pub(crate) late: u64,
    /// Requests that failed, as `server_errors` counts them, of each route that has any.
    pub(crate) errors_by_route: Vec<(String, f64)>,
    /// Requests of each route.
    pub(crate) requests_by_route: Vec<(String, f64)>,
    /// Requests of each route whose client went away before the end of the answer.
    pub(crate) given_up_by_route: Vec<(String, f64)>,
    /// Routes whose answers took long in the last five minutes.
    pub(crate) slow_routes: Vec<SlowRoute>,
    pub(crate) panics: f64,
    pub(crate) open_fds: Option<f64>,
    pub(crate) max_fds: Option<f64>,
    pub(crate) memory: Option<f64>,
    pub(crate) memory_limit: Option<f64>,
    pub(crate) oom_kills: Option<f64>,
    pub(crate) cpu_limit: Option<f64>,
    pub(crate) cpu_periods: Option<f64>,
    pub(crate) throttled_periods: Option<f64>,
    pub(crate) throttled_seconds: Option<f64>,
    pub(crate) overflows: Vec<Overflow>,
}

/// A route whose 95th percentile of the time to the head of an answer is [`STAYS_SLOW`] or more, over five minutes.
#[derive(Clone, Debug, Default)]
pub(crate) struct SlowRoute {
    pub(crate) route: String,
    pub(crate) requests: u64,
    /// In seconds.
    pub(crate) p95: f64,
    /// Median over an hour, in seconds.
    pub(crate) usual: f64,
    /// 95th percentile over an hour, in seconds.
    pub(crate) usual_p95: f64,
    /// Set if queries took at least half of one of its late answers that are kept; `None` if none is.
    pub(crate) waits_for_queries: Option<bool>,
}

impl SlowRoute {
    /// Reports whether half of its answers were late for an hour, and the latest of them not much sooner than now.
    pub(crate) fn is_usual(&self) -> bool {
        self.usual >= SLOW_ANSWER && self.p95 <= 2.0 * self.usual_p95
    }
}

/// Seconds from which on an answer is late: those of the alert `HighApiLatency`.
pub(crate) const SLOW_ANSWER: f64 = 0.5;
/// Seconds from which on a route that was found to be slow stays so.
pub(crate) const STAYS_SLOW: f64 = 0.4;

#[derive(Clone, Debug, Default)]
pub(crate) struct Overflow {
    pub(crate) metric: &'static str,
    pub(crate) label: &'static str,
    pub(crate) count: u64,
    pub(crate) example: String,
}

/// File system below a directory that we write to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) path: String,
    pub(crate) total: u64,
    pub(crate) free: u64,
    /// Files that can still be made; `None` if the file system does not count them.
    pub(crate) free_files: Option<u64>,
    /// Files that it has room for; `None` if it does not count them.
    pub(crate) files: Option<u64>,
}

/// Task that asks a runtime once a second if it still runs tasks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Heartbeat {
    /// Time that the task that was sent last waits for its first poll; `None` if it ran.
    pub(crate) waiting: Option<Duration>,
    /// Longest wait of the tasks that ran since the snapshot before.
    pub(crate) longest: Duration,
    pub(crate) workers: usize,
}
