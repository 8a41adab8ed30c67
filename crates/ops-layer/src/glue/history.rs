use std::path::Path;
use std::time::{Duration, SystemTime};

use ops_history::History;

pub(crate) use crate::config::History as Settings;
use crate::error::chain;
use crate::findings::snapshot::History as Seen;
use crate::glue;

/// Variable that names the directory; `off` for none.
const VARIABLE: &str = "OPS_HISTORY_DIR";
/// Time between two samples of the metrics.
const EVERY: Duration = Duration::from_secs(15);

/// The history, or the reason why there is none although it is configured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    history: Option<History>,
    off: Option<String>,
}

/// Returns the place in these settings.
pub(crate) fn place(settings: Option<&Settings>) -> Option<&Path> {
    settings?.dir.as_deref()
}

/// Returns the keys of the file that are also set in code.
pub(crate) fn covered(in_code: Option<&Settings>, in_file: Option<&Settings>) -> Vec<&'static str> {
    let (Some(code), Some(file)) = (in_code, in_file) else {
        return Vec::new();
    };
    let keys = [
        ("history: dir", code.dir.is_some() && file.dir.is_some()),
        (
            "history: bytes",
            code.bytes.is_some() && file.bytes.is_some(),
        ),
    ];
    let covered = keys.into_iter().filter(|(_, is_covered)| *is_covered);
    covered.map(|(key, _)| key).collect()
}

/// Merges the settings: code takes precedence, then the environment, then the file.
pub(crate) fn merged(in_code: Option<Settings>, in_file: Option<Settings>) -> Option<Settings> {
    let (code, file) = (in_code.unwrap_or_default(), in_file.unwrap_or_default());
    Some(Settings {
        dir: code.dir.or_else(|| glue::place(VARIABLE, file.dir)),
        bytes: code.bytes.or(file.bytes),
        hours: code.hours.or(file.hours),
    })
}

impl Part {
    /// Opens the history if it is configured, and offers lines and spans to
    /// it. Logging starts afterwards, so that its first line is included.
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

    /// Logs why there is no history, and starts sampling the metrics, which exist by now.
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
                // the first sample is taken at once: later counts are the difference to it
                loop {
                    glue::metrics::sample_to(&history, SystemTime::now());
                    std::thread::sleep(EVERY);
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
            stopped: stats.stopped,
            untidy: stats.untidy,
            dropped: all
                .iter()
                .map(|counts| counts.dropped() - counts.stopped)
                .sum(),
            written: all.iter().map(|counts| counts.written).sum(),
            unreadable: stats.unreadable,
        })
    }

    /// Returns the directory that is written to.
    pub(crate) fn dir(&self) -> Option<&Path> {
        self.history.as_ref().map(History::dir)
    }

    /// Returns the history for the admin page.
    #[cfg(all(feature = "admin", feature = "serve"))]
    pub(crate) fn shown(&self) -> Option<ops_admin::History> {
        let history = self.history.clone()?;
        let dir = history.dir().canonicalize();
        let dir = dir.unwrap_or_else(|_| history.dir().to_owned());
        let (of_run, of_flush) = (history.clone(), history.clone());
        let run = move || of_run.run();
        let shown = ops_admin::History::new(dir.to_string_lossy(), run, move |budget| {
            // current numbers, not those of up to 15 s ago
            glue::metrics::sample_to(&of_flush, SystemTime::now());
            of_flush.flush(budget)
        });
        Some(with_engine(shown, history))
    }

    /// Samples the metrics once more, and writes pending records.
    pub(crate) fn close(&self, budget: Duration) {
        if let Some(history) = &self.history {
            glue::metrics::sample_to(history, SystemTime::now());
            if !history.close(budget) {
                tracing::warn!(
                    target: "ops_layer", budget_seconds = budget.as_secs_f64(), "history_writes_cut_off"
                );
            }
        }
    }
}

/// Memory limit of the engine within this process.
#[cfg(all(feature = "admin", feature = "serve", feature = "duckdb"))]
const ENGINE_BYTES: u64 = 256 << 20;

/// Maximum size of its result as JSON, which is in memory about three times until it is sent.
#[cfg(all(feature = "admin", feature = "serve", feature = "duckdb"))]
const ANSWER_BYTES: u64 = 32 << 20;

/// Adds the engine, which runs on one thread, so that requests have the others.
#[cfg(all(feature = "admin", feature = "serve", feature = "duckdb"))]
fn with_engine(mut shown: ops_admin::History, history: History) -> ops_admin::History {
    use ops_admin::{Rows, Statement};
    use ops_history::sql;
    for known in sql::NAMED {
        shown = shown.question(known.name, known.about, known.argument);
    }
    shown.engine(move |ask| {
        let statement = match ask.statement {
            Statement::Sql(sql) => sql.to_owned(),
            Statement::Named { name, argument } => sql::named(name)
                .ok_or_else(|| format!("unknown query {name}"))?
                .sql(argument)
                .map_err(|error| chain(&error))?,
        };
        let mut limits = sql::Limits::default();
        limits.rows = ask.rows;
        limits.bytes = ANSWER_BYTES;
        limits.time = ask.time;
        limits.memory = ENGINE_BYTES;
        limits.threads = Some(1);
        let answer = sql::query(&[history.dir()], &statement, &limits);
        let answer = answer.map_err(|error| chain(&error))?;
        let mut rows = Rows::new(answer.columns);
        rows.rows = answer.rows;
        rows.is_truncated = answer.is_truncated;
        rows.files = answer.files;
        rows.skipped = answer.skipped;
        rows.seconds = answer.seconds;
        Ok(rows)
    })
}

#[cfg(all(feature = "admin", feature = "serve", not(feature = "duckdb")))]
fn with_engine(shown: ops_admin::History, _: History) -> ops_admin::History {
    shown
}
