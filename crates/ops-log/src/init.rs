use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::time::Duration;

use slog::Drain;

use crate::bridge::panic;
use crate::output::health::OutputHealth;
use crate::pipeline::ring::RecentLines;
use crate::pipeline::{FLUSH_BUDGET, GLOBAL, Pipeline, PipelineRef};
use crate::{Config, Error, LateLines, Level, LevelRule, Logger, Stats, bridge};

/// Guard of the logging configuration; flushes when it is dropped.
#[must_use = "lines are flushed when the guard is dropped"]
#[derive(Debug)]
pub struct LogGuard(());

impl LogGuard {
    /// Waits up to `budget` for pending writes; returns `false` on timeout.
    ///
    /// Each line is written before the call that logs it returns, so this waits only for lines of other threads.
    pub fn flush(&self, budget: Duration) -> bool {
        GLOBAL.flush(budget)
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        GLOBAL.flush(FLUSH_BUDGET);
    }
}

/// Starts logging, or changes its configuration: existing loggers follow at once. A `tracing`
/// subscriber or `log` logger that was installed before stays; if that subscriber has no
/// [`tracing_layer`](crate::tracing_layer), a warning, `tracing_events_elsewhere`, is logged once.
///
/// # Errors
///
/// Fails if a file cannot be opened, or an environment variable or a
/// setting is invalid; the previous configuration stays in effect.
pub fn init(config: Config) -> Result<LogGuard, Error> {
    let config = config.checked()?;
    bridge::follow_levels();
    PipelineRef::Global.configure(&config)?;
    let is_bridged = !config.install_bridges || bridge::install();
    panic::watch(config.panics);
    let log = Logger::root();
    for refused in &config.refused {
        crate::log!(Level::Warning, log, "log_filter_refused", variable = "RUST_LOG", error = %refused);
    }
    if let Some(value) = &config.unknown_env
        && config.main.is_some()
    {
        let accepted = "development, production; or set the format with OPS_LOG_FORMAT";
        crate::log!(
            Level::Warning,
            log,
            "environment_unknown",
            variable = "OPS_ENV",
            value = value.as_str(),
            accepted = accepted
        );
    }
    if !is_bridged {
        warn_of_subscriber();
    }
    warn_of_caps();
    Ok(LogGuard(()))
}

/// Same as [`init`], under the name used in the overview.
///
/// # Errors
///
/// Fails like [`init`].
pub fn configure_logging(config: Config) -> Result<LogGuard, Error> {
    init(config)
}

/// Warns that `tracing` events go to a subscriber without our layer:
/// they do not become lines, and have neither context nor trace id.
fn warn_of_subscriber() {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !WARNED.swap(true, Relaxed) {
        crate::log!(
            Level::Warning,
            "tracing_events_elsewhere",
            hint = "the program installed its own subscriber: add ops_log::tracing_layer() to it, or remove it"
        );
    }
}

/// Warns if an enabled level is compiled out of slog's macros: any crate in the
/// build can do that. Only users of slog are affected, not the macros of this crate.
fn warn_of_caps() {
    let (Some(asked), compiled) = (GLOBAL.levels.most_verbose(), compiled_level()) else {
        return;
    };
    if asked < compiled {
        crate::log!(
            Level::Warning,
            "slog_level_capped",
            asked = asked.as_str(),
            compiled = compiled.as_str(),
            hint = "a dependency enables a max_level_* feature of slog: levels below `compiled` are compiled out of slog's macros"
        );
    }
}

/// Returns the most verbose level compiled into slog's macros, found by using them.
fn compiled_level() -> Level {
    struct MostVerbose(Arc<AtomicU8>);

    impl Drain for MostVerbose {
        type Ok = ();
        type Err = slog::Never;

        fn log(&self, record: &slog::Record<'_>, _: &slog::OwnedKVList) -> Result<(), slog::Never> {
            self.0.fetch_min(Level::from(record.level()) as u8, Relaxed);
            Ok(())
        }
    }

    let most_verbose = Arc::new(AtomicU8::new(Level::Critical as u8));
    let probe = slog::Logger::root(MostVerbose(Arc::clone(&most_verbose)), slog::o!());
    slog::error!(probe, "");
    slog::warn!(probe, "");
    slog::info!(probe, "");
    slog::debug!(probe, "");
    slog::trace!(probe, "");
    let most_verbose = most_verbose.load(Relaxed);
    Level::ALL
        .into_iter()
        .find(|level| *level as u8 == most_verbose)
        .unwrap_or(Level::Critical)
}

/// Returns `true` if the root logger would write a line of this level.
pub fn is_enabled(level: Level) -> bool {
    Logger::root().is_enabled(level)
}

/// Returns the minimum level of targets without a level of their own.
pub fn level() -> Level {
    GLOBAL.levels.base()
}

/// Returns every level in effect, the base level first.
pub fn levels() -> Vec<LevelRule> {
    GLOBAL.levels.rules()
}

/// Changes the minimum level of a target for a while; an empty target means all targets.
///
/// The change reverts automatically after `ttl`, or after [`LEVEL_TTL`](crate::LEVEL_TTL) if that is
/// `None`. The change and its end are logged, with `who` and `why`. A second change of a target replaces
/// the first; at most [`MAX_LEVEL_CHANGES`](crate::MAX_LEVEL_CHANGES) targets can be changed at a time.
///
/// ```
/// use std::time::Duration;
/// ops_log::set_level("my_crate::db", ops_log::Level::Debug, Duration::from_secs(60), "ada", "slow queries")?;
/// assert_eq!(ops_log::levels()[1].target, "my_crate::db");
/// # Ok::<(), ops_log::Error>(())
/// ```
///
/// # Errors
///
/// Fails if 64 other targets are changed, or if the thread that
/// reverts the change cannot be started. Then nothing has changed.
pub fn set_level(
    target: &str,
    level: Level,
    ttl: impl Into<Option<Duration>>,
    who: &str,
    why: &str,
) -> Result<(), Error> {
    Pipeline::global().set_level(target, level, ttl, who, why)
}

/// Reverts the change of a level before its time is over; returns `false` if there
/// is none for this target. The end of the change is logged within milliseconds.
pub fn revert_level(target: &str) -> bool {
    GLOBAL.levels.end_override(target)
}

/// Changes for a while which lines are kept for requests, see
/// [`LateLines`](crate::LateLines); applies to requests that start from now on.
///
/// The configured setting applies again after `ttl`, or after [`LEVEL_TTL`](crate::LEVEL_TTL) if that is
/// `None`. The change and its end are logged, with `who` and `why`; a second change replaces the first.
///
/// # Errors
///
/// Fails if the thread that reverts the change cannot be started. Then nothing has changed.
pub fn set_late_lines(
    late: LateLines,
    ttl: impl Into<Option<Duration>>,
    who: &str,
    why: &str,
) -> Result<(), Error> {
    Pipeline::global().set_late_lines(late, ttl, who, why)
}

/// Reverts a change of [`set_late_lines`] before its time is over; returns
/// `false` if there is none. The end of the change is logged within milliseconds.
pub fn revert_late_lines() -> bool {
    GLOBAL.levels.end_late()
}

/// Returns the counts of lines so far.
pub fn stats() -> Stats {
    GLOBAL.stats()
}

/// Returns the state of each output. Waits up to 50 ms for an output that is busy with a line, then leaves it out.
pub fn output_health() -> Vec<OutputHealth> {
    GLOBAL.output_health()
}

/// Returns the newest lines as JSON, oldest first.
pub fn recent(lines: usize) -> Vec<String> {
    GLOBAL.recent(lines)
}

/// Returns the lines after the one with this number, as far as they are kept: [`RECENT_LINES`](crate::RECENT_LINES)
/// unless configured. If `last - number` is larger than the number of returned lines, some were missed.
pub fn recent_after(number: u64) -> RecentLines {
    GLOBAL.recent_after(number)
}
