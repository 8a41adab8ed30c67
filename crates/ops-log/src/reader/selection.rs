use std::time::SystemTime;

use super::stored_line::StoredLine;
use crate::Level;
use crate::render::timestamp::Timestamps;

/// Conditions that a line has to meet, all of them. An empty selection takes every line.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    level: Option<Level>,
    fields: Vec<(String, String)>,
    text: Option<String>,
    since: Option<String>,
    until: Option<String>,
}

impl Selection {
    /// Takes every line.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes lines of this level and more severe ones. A line without a level of ours is not taken.
    #[must_use]
    pub fn level(mut self, level: Level) -> Self {
        self.level = Some(level);
        self
    }

    /// Takes lines with this value of a field, such as `trace_id` or `request_id`; numbers as they are written.
    #[must_use]
    pub fn field(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.fields.push((key.into(), value.into()));
        self
    }

    /// Takes lines in whose event, logger, keys or values this text is found, upper and lower case being different.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Takes lines that were written at this instant or later, to the millisecond.
    #[must_use]
    pub fn since(mut self, instant: SystemTime) -> Self {
        self.since = Some(Timestamps::text(instant));
        self
    }

    /// Takes lines that were written before this instant, to the millisecond.
    #[must_use]
    pub fn until(mut self, instant: SystemTime) -> Self {
        self.until = Some(Timestamps::text(instant));
        self
    }

    /// Returns `true` if the line meets all conditions.
    pub fn matches(&self, line: &StoredLine) -> bool {
        // in UTC and of one length, so that the order of texts is the order of instants
        let at = line.timestamp();
        let at_least = |level| line.level().is_some_and(|found| found >= level);
        self.level.is_none_or(at_least)
            && self.since.as_deref().is_none_or(|since| at >= since)
            && self
                .until
                .as_deref()
                .is_none_or(|until| !at.is_empty() && at < until)
            && self
                .fields
                .iter()
                .all(|(key, value)| line.field(key).as_ref() == Some(value))
            && self.text.as_deref().is_none_or(|text| line.contains(text))
    }

    /// Returns `true` if a line that is not JSON meets all conditions: it has no level, no fields and no instant.
    pub fn matches_text(&self, line: &str) -> bool {
        let only_text = self.level.is_none()
            && self.fields.is_empty()
            && self.since.is_none()
            && self.until.is_none();
        only_text && self.text.as_deref().is_none_or(|text| line.contains(text))
    }
}
