use std::time::SystemTime;

use serde::Serialize;
use serde_json::Value;

/// Maximum number of records; the newest are kept.
const RECORDS: usize = 100;
/// Maximum length of a record in characters.
const TEXT_MAX: usize = 1000;

/// Previous run, as the page shows it: how it ended, and its last seconds.
///
/// All texts are shown as plain text, whatever they contain. They must not contain secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LastRun {
    /// Kind of end: `clean`, `panicked`, `unknown`.
    pub ending: String,
    /// End in one sentence.
    pub how: String,
    /// It was shut down in order.
    pub is_clean: bool,
    /// Start, in milliseconds since 1970-01-01 UTC.
    pub started_at: Option<u64>,
    /// Last time at which it was certainly alive, in milliseconds since 1970-01-01 UTC.
    pub last_seen: Option<u64>,
    /// File that contains it.
    pub kept: Option<String>,
    /// Last records, oldest first; the newest 100.
    pub records: Vec<LastRecord>,
    /// Number of older records that are not shown.
    pub left_out: usize,
    /// Number of torn records.
    pub torn: usize,
}

/// A record of a [`LastRun`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LastRecord {
    /// Kind: `line`, `span`, `numbers`, `panic`.
    pub kind: String,
    /// Time, in milliseconds since 1970-01-01 UTC.
    pub at: u64,
    /// Level of a line.
    pub level: Option<String>,
    /// Name of the event, or of the span.
    pub name: Option<String>,
    /// Text: JSON in most cases.
    pub text: String,
}

impl LastRun {
    /// Creates a run with this end.
    pub fn new(ending: impl Into<String>, how: impl Into<String>) -> Self {
        Self {
            ending: ending.into(),
            how: how.into(),
            is_clean: false,
            started_at: None,
            last_seen: None,
            kept: None,
            records: Vec::new(),
            left_out: 0,
            torn: 0,
        }
    }

    /// Sets whether it was shut down in order.
    #[must_use]
    pub fn clean(mut self, is_clean: bool) -> Self {
        self.is_clean = is_clean;
        self
    }

    /// Sets the start, and the last time at which it was certainly alive.
    #[must_use]
    pub fn time(mut self, started: SystemTime, last_seen: SystemTime) -> Self {
        self.started_at = Some(millis(started));
        self.last_seen = Some(millis(last_seen));
        self
    }

    /// Sets the file that contains it.
    #[must_use]
    pub fn kept(mut self, file: impl Into<String>) -> Self {
        self.kept = Some(file.into());
        self
    }

    /// Sets the number of torn records.
    #[must_use]
    pub fn torn(mut self, torn: usize) -> Self {
        self.torn = torn;
        self
    }

    /// Adds to the number of older records that are not shown.
    #[must_use]
    pub fn left_out(mut self, left_out: usize) -> Self {
        self.left_out += left_out;
        self
    }

    /// Adds a record, newer than those before. Beyond 100, the
    /// oldest is removed. Level and name are taken from its JSON.
    #[must_use]
    pub fn record(mut self, kind: impl Into<String>, at: SystemTime, text: &str) -> Self {
        let json: Option<Value> = serde_json::from_str(text).ok();
        let field = |name: &str| {
            let text = json.as_ref()?.get(name)?.as_str()?;
            Some(text.chars().take(100).collect())
        };
        if self.records.len() == RECORDS {
            self.records.remove(0);
            self.left_out += 1;
        }
        self.records.push(LastRecord {
            kind: kind.into(),
            at: millis(at),
            level: field("level"),
            name: field("event")
                .or_else(|| field("name"))
                .or_else(|| field("message")),
            text: text.chars().take(TEXT_MAX).collect(),
        });
        self
    }
}

fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
