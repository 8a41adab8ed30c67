use std::time::SystemTime;

use super::sieve::Unjudged;
use super::stored_line::StoredLine;
use super::trace_id::TraceId;
use crate::Level;

/// Conditions that a line must meet, all of them. An empty selection matches every line.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    level: Option<Level>,
    fields: Vec<(String, String)>,
    pairs: Vec<String>,
    trace: Option<TraceId>,
    text: Option<String>,
    since: Option<SystemTime>,
    until: Option<SystemTime>,
}

impl Selection {
    /// Creates a selection that matches every line.
    pub fn new() -> Self {
        Self::default()
    }

    /// Selects lines of this level and above. A line without a known level is not selected.
    #[must_use]
    pub fn level(mut self, level: Level) -> Self {
        self.level = Some(level);
        self
    }

    /// Selects lines with this value of a field, such as `request_id`, `event`
    /// or `logger`; numbers as written, a `level` by any of its names.
    #[must_use]
    pub fn field(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.fields.push((key.into(), value.into()));
        self
    }

    /// Selects lines with a field given as `KEY=VALUE`; if there are several `=`, each of them may be the separator.
    #[must_use]
    pub fn pair(mut self, pair: impl Into<String>) -> Self {
        self.pairs.push(pair.into());
        self
    }

    /// Selects lines of this trace, ignoring case.
    #[must_use]
    pub fn trace(mut self, id: TraceId) -> Self {
        self.trace = Some(id);
        self
    }

    /// Selects lines that contain this text in event, logger, keys or values; case-sensitive.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Selects lines written at this instant or later. A line without a readable instant is not selected.
    #[must_use]
    pub fn since(mut self, instant: SystemTime) -> Self {
        self.since = Some(instant);
        self
    }

    /// Selects lines written before this instant. A line without a readable instant is not selected.
    #[must_use]
    pub fn until(mut self, instant: SystemTime) -> Self {
        self.until = Some(instant);
        self
    }

    /// Returns `true` if the line meets all conditions.
    pub fn matches(&self, line: &StoredLine) -> bool {
        self.judge(line) == Ok(true)
    }

    /// Decides if the line matches. The error is a condition that
    /// cannot be evaluated for it, unless another condition is not met.
    pub(super) fn judge(&self, line: &StoredLine) -> Result<bool, Unjudged> {
        let is_traced = |id: &TraceId| {
            let found = line.field("trace_id");
            found.is_some_and(|found| found.eq_ignore_ascii_case(id.as_str()))
        };
        let meets_fields = self.fields.iter().all(|(key, value)| line.has(key, value))
            && self.pairs.iter().all(|pair| has_pair(line, pair))
            && self.trace.as_ref().is_none_or(is_traced)
            && self.text.as_deref().is_none_or(|text| line.contains(text));
        let level = line.level();
        let is_low = level.is_some_and(|level| self.level.is_some_and(|least| level < least));
        if !meets_fields || is_low {
            return Ok(false);
        }
        if self.is_timed() {
            let at = line.instant().ok_or(Unjudged::Instant)?;
            let is_within = self.since.is_none_or(|since| at >= since)
                && self.until.is_none_or(|until| at < until);
            if !is_within {
                return Ok(false);
            }
        }
        if self.level.is_some() && level.is_none() {
            return Err(Unjudged::Level);
        }
        Ok(true)
    }

    /// Returns `true` if a line that is not JSON meets all conditions: it has no level, no fields and no instant.
    pub fn matches_text(&self, line: &str) -> bool {
        self.judge_text(line) == Ok(true)
    }

    pub(super) fn judge_text(&self, line: &str) -> Result<bool, Unjudged> {
        if self
            .text
            .as_deref()
            .is_some_and(|text| !line.contains(text))
        {
            return Ok(false);
        }
        let only_text = self.level.is_none()
            && self.fields.is_empty()
            && self.pairs.is_empty()
            && self.trace.is_none()
            && !self.is_timed();
        if only_text {
            Ok(true)
        } else {
            Err(Unjudged::NotJson)
        }
    }

    fn is_timed(&self) -> bool {
        self.since.is_some() || self.until.is_some()
    }
}

fn has_pair(line: &StoredLine, pair: &str) -> bool {
    pair.match_indices('=')
        .any(|(at, _)| line.has(&pair[..at], &pair[at + 1..]))
}
