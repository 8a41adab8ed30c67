use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use crate::line::Line;
use crate::{Config, Error, Level, Value, context, redact, trace_ids};

/// Lines that are kept for the admin page.
pub const RECENT_LINES: usize = 200;

static OUTPUT: ArcSwapOption<Output> = ArcSwapOption::const_empty();
static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);
static WRITTEN: AtomicU64 = AtomicU64::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);
static RECENT: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

struct Output {
    config: Config,
    file: Option<Mutex<File>>,
}

/// How many lines were written and lost so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Lines that every sink took.
    pub written: u64,
    /// Lines that a sink did not take.
    pub dropped: u64,
}

/// Keeps logging as it was configured.
#[must_use = "lines are flushed when this is dropped"]
#[derive(Debug)]
pub struct LogGuard(());

impl LogGuard {
    /// Puts what was written on its way. Lines are written as they are logged, so that nothing waits here.
    pub fn flush(&self, _budget: Duration) {
        flush();
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        flush();
    }
}

fn flush() {
    // a terminal that is gone cannot be told
    let _ = io::stdout().flush();
}

/// Starts logging, or changes how it is done: existing loggers follow at once.
///
/// # Errors
///
/// Where the file cannot be opened; the configuration before stays.
pub fn init(config: Config) -> Result<LogGuard, Error> {
    let file = config.file.as_ref().map(open).transpose()?;
    LEVEL.store(config.level as u8, Relaxed);
    let bridges = config.install_bridges;
    OUTPUT.store(Some(std::sync::Arc::new(Output {
        config,
        file: file.map(Mutex::new),
    })));
    if bridges {
        crate::bridge::install();
    }
    Ok(LogGuard(()))
}

/// The same as [`init`], under the overview's name.
///
/// # Errors
///
/// As [`init`].
pub fn configure_logging(config: Config) -> Result<LogGuard, Error> {
    init(config)
}

fn open(path: &PathBuf) -> Result<File, Error> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    parent
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| File::options().create(true).append(true).open(path))
        .map_err(|source| Error::File {
            path: path.clone(),
            source,
        })
}

/// Whether a line of this level would be written.
pub fn is_enabled(level: Level) -> bool {
    level as u8 >= LEVEL.load(Relaxed)
}

/// The level from which on lines are written.
pub fn level() -> Level {
    Level::ALL
        .into_iter()
        .find(|known| *known as u8 == LEVEL.load(Relaxed))
        .unwrap_or(Level::Info)
}

/// Changes that level.
pub fn set_level(level: Level) {
    LEVEL.store(level as u8, Relaxed);
}

/// What happened so far.
pub fn stats() -> Stats {
    Stats {
        written: WRITTEN.load(Relaxed),
        dropped: DROPPED.load(Relaxed),
    }
}

/// The newest lines as JSON, oldest first.
pub fn recent(lines: usize) -> Vec<String> {
    let kept = RECENT.lock();
    kept.iter()
        .skip(kept.len().saturating_sub(lines))
        .cloned()
        .collect()
}

/// Tells the `metrics` recorder the totals so far.
#[cfg(feature = "metrics")]
pub fn publish_metrics() {
    let stats = stats();
    metrics::counter!("log_lines_written_total").absolute(stats.written);
    metrics::counter!("log_lines_dropped_total").absolute(stats.dropped);
}

/// Writes one line to every sink. Never fails: what cannot be written is counted.
pub(crate) fn write(logger: Option<&str>, level: Level, event: &str, fields: &[(&str, Value)]) {
    let output = OUTPUT.load();
    let default = Config::default();
    let config = output.as_ref().map_or(&default, |output| &output.config);
    let context = context::current();
    let line = Line {
        at: SystemTime::now(),
        level,
        logger: logger.unwrap_or(&config.service_name),
        event,
        context: &context,
        trace_id: trace_ids::current(),
        fields,
    };
    let json = scrubbed(line.json());
    let shown = if config.json {
        json.clone()
    } else {
        scrubbed(line.console())
    };
    let mut taken = io::stdout().lock().write_all(shown.as_bytes()).is_ok();
    if let Some(file) = output.as_ref().and_then(|output| output.file.as_ref()) {
        taken &= file.lock().write_all(json.as_bytes()).is_ok();
    }
    let counter = if taken { &WRITTEN } else { &DROPPED };
    counter.fetch_add(1, Relaxed);
    let mut recent = RECENT.lock();
    if recent.len() == RECENT_LINES {
        recent.pop_front();
    }
    recent.push_back(json.trim_end().to_owned());
}

fn scrubbed(line: String) -> String {
    redact::redacted(&line).unwrap_or(line)
}
