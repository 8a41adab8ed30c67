use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::time::Duration;

use slog::Drain;

use crate::bridge::panic;
use crate::output::health::OutputHealth;
use crate::pipeline::ring::RecentLines;
use crate::pipeline::{FLUSH_BUDGET, GLOBAL, Pipeline, PipelineRef};
use crate::{Config, Error, LateLines, Level, LevelRule, Logger, Stats, bridge};

/// Guard of a configured process; flushes when it is dropped.
#[must_use = "lines are flushed when this is dropped"]
#[derive(Debug)]
pub struct LogGuard(());

impl LogGuard {
    /// Waits up to `budget` for pending writes; returns `false` on timeout.
    ///
    /// Each line is written before the call that logs it returns, so that only other threads' lines are waited for.
    pub fn flush(&self, budget: Duration) -> bool {
        GLOBAL.flush(budget)
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        GLOBAL.flush(FLUSH_BUDGET);
    }
}

/// Starts logging, or changes how it is done: existing loggers follow at once. A `tracing` subscriber or `log` logger that was
/// installed before stays; of a subscriber without [`tracing_layer`](crate::tracing_layer) one line, `tracing_events_elsewhere`, warns.
///
/// # Errors
///
/// Fails if a file cannot be opened, or a variable of the environment cannot be understood; the configuration before stays.
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
        let accepted = "development, production; or name the format with OPS_LOG_FORMAT";
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

/// The same as [`init`], under the overview's name.
///
/// # Errors
///
/// Fails as [`init`] does.
pub fn configure_logging(config: Config) -> Result<LogGuard, Error> {
    init(config)
}

/// Events of `tracing` go to a subscriber that knows nothing of us: they are no lines, and have neither context nor trace id.
fn warn_of_subscriber() {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !WARNED.swap(true, Relaxed) {
        crate::log!(
            Level::Warning,
            "tracing_events_elsewhere",
            hint = "the program installed a subscriber of its own: add ops_log::tracing_layer() to it, or leave it out"
        );
    }
}

/// slog's macros leave finer levels out when they are compiled, as the least of all crates in the build wants it. Our own
/// macros do not ask; a warning says so to those who log through slog.
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
            hint = "a dependency enables a max_level_* feature of slog: slog's macros below `compiled` are compiled out"
        );
    }
}

/// The most verbose level that slog's macros are compiled with, found by using them.
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

/// Reports whether the root logger would write a line of this level.
pub fn is_enabled(level: Level) -> bool {
    Logger::root().is_enabled(level)
}

/// Returns the least severe level that is written, of targets without a level of their own.
pub fn level() -> Level {
    GLOBAL.levels.base()
}

/// Returns every level that holds now, the base level first.
pub fn levels() -> Vec<LevelRule> {
    GLOBAL.levels.rules()
}

/// Changes from which level on lines of a target are written, for a while; an empty target is everything.
///
/// It reverts by itself after `ttl`, after [`LEVEL_TTL`](crate::LEVEL_TTL) where that is `None`. The change and its end
/// are lines that say who asked and why. A second change of a target replaces the first; at most
/// [`MAX_LEVEL_CHANGES`](crate::MAX_LEVEL_CHANGES) targets are changed at a time.
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
/// Fails if 64 other targets are changed, or if no thread can be started that takes the change back. Then nothing has
/// changed.
pub fn set_level(
    target: &str,
    level: Level,
    ttl: impl Into<Option<Duration>>,
    who: &str,
    why: &str,
) -> Result<(), Error> {
    Pipeline::global().set_level(target, level, ttl, who, why)
}

/// Takes a change of a level back before its time; returns `false` if there is none for this target. A line reports the end of
/// the change, which follows within milliseconds.
pub fn revert_level(target: &str) -> bool {
    GLOBAL.levels.end_override(target)
}

/// Changes for a while which lines are kept for requests, see [`LateLines`](crate::LateLines): requests that begin from here on
/// follow.
///
/// The configured choice holds again after `ttl`, after [`LEVEL_TTL`](crate::LEVEL_TTL) where that is `None`. The change and its end
/// are lines that say who asked and why; a second change replaces the first.
///
/// # Errors
///
/// Fails if no thread can be started that takes the change back. Then nothing has changed.
pub fn set_late_lines(
    late: LateLines,
    ttl: impl Into<Option<Duration>>,
    who: &str,
    why: &str,
) -> Result<(), Error> {
    Pipeline::global().set_late_lines(late, ttl, who, why)
}

/// Takes a change of [`set_late_lines`] back before its time; returns `false` if there is none. A line reports the end of the
/// change, which follows within milliseconds.
pub fn revert_late_lines() -> bool {
    GLOBAL.levels.end_late()
}

/// Returns counts of lines so far.
pub fn stats() -> Stats {
    GLOBAL.stats()
}

/// Returns the state of each output. One that is busy with a line is waited for up to 50 ms, and left out then.
pub fn output_health() -> Vec<OutputHealth> {
    GLOBAL.output_health()
}

/// Returns the newest lines as JSON, oldest first.
pub fn recent(lines: usize) -> Vec<String> {
    GLOBAL.recent(lines)
}

/// Returns the lines that followed the one with this number, as far as they are kept: [`RECENT_LINES`](crate::RECENT_LINES)
/// unless configured. More than these were written if `last - number` is larger than their count.
pub fn recent_after(number: u64) -> RecentLines {
    GLOBAL.recent_after(number)
}
