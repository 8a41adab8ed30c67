use std::future::Future;
use std::path::{Path, PathBuf};
#[cfg(any(feature = "black-box", feature = "history"))]
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
#[cfg(any(feature = "black-box", feature = "history"))]
use std::time::SystemTime;

use crate::findings::snapshot::Log as Seen;
use crate::{Config, Error};

pub(crate) use ops_log::Config as Settings;
pub(crate) use ops_log::http::AccessLog as Observer;
pub(crate) use ops_log::{Carried, carry};

/// Logging: readable lines on a terminal, and JSON in a file if one is configured.
#[derive(Debug)]
pub(crate) struct Log(ops_log::LogGuard);

impl Log {
    pub(crate) fn start(config: &Config) -> Result<Self, Error> {
        let logger = config.logger.as_deref().unwrap_or(&config.service_name);
        let settings = config.log.clone();
        let mut settings = settings
            .unwrap_or_else(Settings::from_env)
            .service_name(logger);
        if !config.stdout {
            settings = settings.stdout(false);
        }
        if let Some(path) = &config.log_file {
            settings = settings.file(path);
        }
        #[cfg(feature = "otlp-logs")]
        if let Some(lines) = super::trace::log_lines(config) {
            settings = settings.output(ops_log::Output::writer(lines.clone()).json(true));
        }
        ops_log::init(settings)
            .map(Self)
            .map_err(|error| Error::new("log", error))
    }

    #[expect(clippy::unused_self, reason = "the interface of the part")]
    pub(crate) fn look(&self) -> Option<Seen> {
        let stats = ops_log::stats();
        let outputs = ops_log::output_health();
        let lost = outputs.iter();
        let lost = lost.map(|output| (output.name.clone(), output.lost));
        let lost = lost.collect();
        let problems = outputs.into_iter().filter(|output| output.is_file);
        Some(Seen {
            written: stats.written,
            dropped: stats.dropped,
            lost,
            problems: problems
                .filter_map(|output| Some((output.name, output.problem?)))
                .collect(),
        })
    }

    /// Returns the folders of log files; pipes and devices are excluded.
    #[expect(clippy::unused_self, reason = "the interface of the part")]
    pub(crate) fn dirs(&self) -> Vec<PathBuf> {
        let outputs = ops_log::output_health().into_iter();
        let files = outputs.filter(|output| output.is_file);
        let files = files.map(|output| PathBuf::from(output.name));
        let is_file = |path: &PathBuf| path.metadata().map_or(true, |found| found.is_file());
        let mut dirs: Vec<_> = files
            .filter(is_file)
            .filter_map(|file| file.parent().map(Path::to_owned))
            .collect();
        dirs.dedup();
        dirs
    }

    pub(crate) fn flush(&self, budget: Duration) {
        self.0.flush(budget);
    }
}

/// Returns the text with known secrets redacted.
pub(crate) fn scrubbed(text: String) -> String {
    ops_log::redacted(&text).unwrap_or(text)
}

#[cfg(any(feature = "black-box", feature = "history"))]
type Tap = Arc<dyn Fn(SystemTime, &[u8]) + Send + Sync>;

#[cfg(any(feature = "black-box", feature = "history"))]
static TAPS: Mutex<Vec<Tap>> = Mutex::new(Vec::new());

/// Passes each line to this function too, with its time.
#[cfg(any(feature = "black-box", feature = "history"))]
pub(crate) fn each_line(see: impl Fn(SystemTime, &[u8]) + Send + Sync + 'static) {
    let mut taps = TAPS.lock().unwrap_or_else(PoisonError::into_inner);
    taps.push(Arc::new(see));
    match taps.as_slice() {
        [only] => {
            let only = only.clone();
            ops_log::set_line_tap(move |at, json| only(at, json));
        }
        all => {
            let all = all.to_vec();
            ops_log::set_line_tap(move |at, json| all.iter().for_each(|tap| tap(at, json)));
        }
    }
}

/// Stops passing lines to all of these functions.
pub(crate) fn forget_taps() {
    #[cfg(any(feature = "black-box", feature = "history"))]
    {
        let mut taps = TAPS.lock().unwrap_or_else(PoisonError::into_inner);
        if !taps.is_empty() {
            taps.clear();
            ops_log::set_line_tap(|_, _| {});
        }
    }
}

/// Returns the text with known secrets redacted; `None` if it contains none.
#[cfg(any(feature = "black-box", all(feature = "history", feature = "trace")))]
pub(crate) fn redacted(text: &str) -> Option<String> {
    ops_log::redacted(text)
}

pub(crate) fn publish() {
    #[cfg(feature = "metrics")]
    ops_log::publish_metrics();
}

/// Returns the variables that this configuration overrides, each with the value in effect.
pub(crate) fn overruled(settings: &Settings) -> Vec<(&'static str, String)> {
    settings.overruled()
}

/// Returns a configuration from a file, overridden by the environment.
pub(crate) fn beneath_environment(settings: Settings) -> Settings {
    settings.with_env()
}

/// Returns the default observer.
pub(crate) fn observer() -> Observer {
    let observer = Observer::new().route_field(true);
    #[cfg(feature = "trace")]
    let observer = observer.fields_from(ops_trace::current_baggage_fields);
    observer
}

pub(crate) fn with_context<F: Future>(future: F) -> impl Future<Output = F::Output> {
    ops_log::with_log_context(future)
}
