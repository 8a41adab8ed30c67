use std::time::SystemTime;

use serde::Serialize;
use serde_json::Value;

/// Records that are kept: the newest.
const RECORDS: usize = 100;
/// Characters of a record that are kept.
const TEXT_MAX: usize = 1000;

/// The run before this one, as the page shows it: how it ended, and its last seconds.
///
/// All texts are shown as text, whatever they hold. Secrets must not be in them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LastRun {
    /// Kind of its end: `clean`, `panicked`, `unknown`.
    pub ending: String,
    /// The end in one sentence.
    pub how: String,
    /// It was shut down in order.
    pub is_clean: bool,
    /// Its start, in milliseconds since 1970-01-01 UTC.
    pub started_at: Option<u64>,
    /// The last moment at which it was alive for certain, in milliseconds since 1970-01-01 UTC.
    pub last_seen: Option<u64>,
    /// File that holds it.
    pub kept: Option<String>,
    /// Its last records, oldest first; the newest 100.
    pub records: Vec<LastRecord>,
    /// Older records that are not shown.
    pub left_out: usize,
    /// Records that were torn.
    pub torn: usize,
}

/// A record of a [`LastRun`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LastRecord {
    /// Kind: `line`, `span`, `numbers`, `panic`.
    pub kind: String,
    /// Its moment, in milliseconds since 1970-01-01 UTC.
    pub at: u64,
    /// Level of a line.
    pub level: Option<String>,
    /// Name of the event, or of the span.
    pub name: Option<String>,
    /// Text: JSON in most cases.
    pub text: String,
}

impl LastRun {
    /// Creates a run that ended in this way.
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

    /// Sets start and end.
    #[must_use]
    pub fn time(mut self, started: SystemTime, last_seen: SystemTime) -> Self {
        self.started_at = Some(millis(started));
        self.last_seen = Some(millis(last_seen));
        self
    }

    /// Names the file that holds it.
    #[must_use]
    pub fn kept(mut self, file: impl Into<String>) -> Self {
        self.kept = Some(file.into());
        self
    }

    /// Sets the number of records that were torn.
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

    /// Adds a record, newer than those before. If there are 100, the oldest goes. Level and name are taken from its JSON.
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
