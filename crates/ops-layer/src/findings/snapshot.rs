//! Numbers that the rules evaluate, read at one time. A part that is compiled out has none.

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
    /// Creates a snapshot of the current time without any part.
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

/// State of the black box, and the previous run.
#[derive(Clone, Debug, Default)]
pub(crate) struct BlackBox {
    /// Reason why there is none although it is configured.
    pub(crate) off: Option<String>,
    /// End of the previous run, if it was not clean.
    pub(crate) ended: Option<Ended>,
}

/// State of the history of lines, spans and metrics.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// Reason why nothing is written although it is configured.
    pub(crate) stopped: Option<String>,
    /// Reason why files are neither merged nor removed.
    pub(crate) untidy: Option<String>,
    /// Number of records dropped while it was not stopped.
    pub(crate) dropped: u64,
    pub(crate) written: u64,
    /// Unreadable files, each with the reason.
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
    /// The endpoint is the default, not a configured one.
    pub(crate) is_default: bool,
    /// Time for which exports have failed, by the monotonic clock; `None` while they work.
    pub(crate) failing_for: Option<Duration>,
    pub(crate) failure: String,
    pub(crate) kind: &'static str,
    pub(crate) status: Option<u16>,
    pub(crate) last_duration: Option<Duration>,
    pub(crate) ended: u64,
    /// Number of spans that are queued or being sent.
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
    /// It is secret, unlike a setting that may use its default.
    pub(crate) is_sensitive: bool,
    pub(crate) is_stale: bool,
    pub(crate) age: Option<u64>,
    /// Kind of the last failure at a remote source, as the resolver
    /// names it; `None` once it is so old that it may be over.
    pub(crate) error: Option<&'static str>,
    /// Name of the source that failed.
    pub(crate) failed_at: &'static str,
    pub(crate) detail: String,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub(crate) written: u64,
    pub(crate) dropped: u64,
    /// Files that cannot be written, with the reason.
    pub(crate) problems: Vec<(String, String)>,
    /// Every output, with the number of lines it lost.
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

/// State of the bucket through which machines share results.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared {
    /// Secret of its key, if the source of that secret was unavailable: sharing is then off.
    pub(crate) missing_key: Option<String>,
    /// Time since which it is not queried, because it did not respond.
    pub(crate) open_since: Option<SystemTime>,
    /// It ignores conditional writes.
    pub(crate) is_unconditional: bool,
    pub(crate) failed: u64,
    pub(crate) dropped: u64,
}

/// Queries that reached the engine.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Queries {
    pub(crate) run: u64,
    pub(crate) failed: u64,
    /// Queries longer than a second.
    pub(crate) slow: u64,
}

/// Duration above which a query counts as slow.
#[cfg(any(feature = "cache", feature = "trace"))]
pub(crate) const SLOW_QUERY: Duration = Duration::from_secs(1);

/// Numbers that the metrics already have; `None` if the machine does not provide them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) requests: f64,
    /// Requests that ended with 5xx, broke off after their head, or were gRPC calls that failed.
    pub(crate) server_errors: f64,
    /// Those of them that ended as a panic ends a request: with status 500,
    /// or with a failure kind that a panic causes; `None` if that is not known.
    pub(crate) internal_errors: Option<f64>,
    /// Requests refused by `max_in_flight` of a service.
    pub(crate) refused: u64,
    /// Requests that exceeded `timeout` of a service.
    pub(crate) late: u64,
    /// Failed requests, as counted in `server_errors`, of each route that has any.
    pub(crate) errors_by_route: Vec<(String, f64)>,
    /// Requests of each route.
    pub(crate) requests_by_route: Vec<(String, f64)>,
    /// Requests of each route whose client went away before the end of the response.
    pub(crate) given_up_by_route: Vec<(String, f64)>,
    /// Routes with slow responses in the last five minutes.
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

/// Route whose 95th percentile of the time to the head of a response is [`STAYS_SLOW`] or more, over five minutes.
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
    /// Set if queries took at least half of one of its slow responses that are kept; `None` if none is kept.
    pub(crate) waits_for_queries: Option<bool>,
}

impl SlowRoute {
    /// Returns whether half of its responses over an hour were slow, and
    /// its 95th percentile is now at most twice that of the hour.
    pub(crate) fn is_usual(&self) -> bool {
        self.usual >= SLOW_ANSWER && self.p95 <= 2.0 * self.usual_p95
    }
}

/// Seconds from which a response is slow: the threshold of the alert `HighApiLatency`.
pub(crate) const SLOW_ANSWER: f64 = 0.5;
/// Seconds from which a route that was found to be slow remains slow.
pub(crate) const STAYS_SLOW: f64 = 0.4;

#[derive(Clone, Debug, Default)]
pub(crate) struct Overflow {
    pub(crate) metric: &'static str,
    pub(crate) label: &'static str,
    pub(crate) count: u64,
    pub(crate) example: String,
}

/// File system of a directory that the process writes to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) path: String,
    pub(crate) total: u64,
    pub(crate) free: u64,
    /// Number of files that can still be created; `None` if the file system does not count them.
    pub(crate) free_files: Option<u64>,
    /// Number of files that it has room for; `None` if the file system does not count them.
    pub(crate) files: Option<u64>,
}

/// State of the task that checks once a second whether a runtime still runs tasks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Heartbeat {
    /// Time that the most recent task has waited for its first poll; `None` if it ran.
    pub(crate) waiting: Option<Duration>,
    /// Longest wait of the tasks that ran since the previous snapshot.
    pub(crate) longest: Duration,
    pub(crate) workers: usize,
}
