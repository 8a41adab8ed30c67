use std::path::Path;
use std::time::{Duration, SystemTime};

use ops_history::History;

pub(crate) use crate::config::History as Settings;
use crate::error::chain;
use crate::findings::snapshot::History as Seen;
use crate::glue;

/// Names the directory; `off` for none.
const VARIABLE: &str = "OPS_HISTORY_DIR";
/// Time between two samples of the metrics.
const EVERY: Duration = Duration::from_secs(15);

/// The history, or the reason why there is none although one was asked for.
#[derive(Debug, Default)]
pub(crate) struct Part {
    history: Option<History>,
    off: Option<String>,
}

/// Returns what holds: what is set in code, then the environment, then the file.
pub(crate) fn settled(in_code: Option<Settings>, in_file: Option<Settings>) -> Option<Settings> {
    if in_code.is_some() {
        return in_code;
    }
    let mut settings = in_file.unwrap_or_default();
    settings.dir = glue::place(VARIABLE, settings.dir);
    Some(settings)
}

impl Part {
    /// Opens the history, if one is asked for, and has lines and spans offered to it. Logging starts after this, so that its first
    /// line is in it.
    pub(crate) fn start(settings: Option<&Settings>, service: &str) -> Self {
        let Some((settings, dir)) = settings.and_then(|set| Some((set, set.dir.as_ref()?))) else {
            return Self::default();
        };
        let mut config = ops_history::Config::new(dir, service);
        if let Some(bytes) = settings.bytes {
            config = config.max_bytes(bytes);
        }
        if let Some(hours) = settings.hours {
            config = config.max_age(Duration::from_secs(hours.saturating_mul(3600)));
        }
        match History::open(config) {
            Ok(history) => {
                let of_lines = history.clone();
                glue::log::each_line(move |at, json| of_lines.line(at, json));
                glue::trace::spans_to(&history);
                Self {
                    history: Some(history),
                    off: None,
                }
            }
            Err(error) => Self {
                history: None,
                off: Some(chain(&error)),
            },
        }
    }

    /// Logs why there is none, and begins to sample the metrics.
    pub(crate) fn started(&self) {
        if let Some(why) = &self.off {
            tracing::warn!(target: "ops_layer", why, "history_off");
        }
        let Some(history) = self.history.clone() else {
            return;
        };
        let sampling = std::thread::Builder::new()
            .name("ops-history-metrics".to_owned())
            .spawn(move || {
                loop {
                    std::thread::sleep(EVERY);
                    glue::metrics::sample_to(&history, SystemTime::now());
                }
            });
        if let Err(error) = sampling {
            tracing::warn!(target: "ops_layer", error = %error, "history_incomplete");
        }
    }

    pub(crate) fn look(&self) -> Option<Seen> {
        let Some(history) = &self.history else {
            let stopped = Some(self.off.clone()?);
            return Some(Seen {
                stopped,
                ..Seen::default()
            });
        };
        let stats = history.stats();
        let all = [stats.lines, stats.spans, stats.samples];
        Some(Seen {
            stopped: stats.stopped.or(stats.untidy),
            dropped: all
                .iter()
                .map(|counts| counts.dropped() - counts.stopped)
                .sum(),
            written: all.iter().map(|counts| counts.written).sum(),
            unreadable: stats.unreadable,
        })
    }

    /// Directory that is written to.
    pub(crate) fn dir(&self) -> Option<&Path> {
        self.history.as_ref().map(History::dir)
    }

    /// Samples the metrics once more, and writes what waits.
    pub(crate) fn close(&self, budget: Duration) {
        if let Some(history) = &self.history {
            glue::metrics::sample_to(history, SystemTime::now());
            history.close(budget);
        }
    }
}
