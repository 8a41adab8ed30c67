use serde::Serialize;

use super::time::seconds_left;
use crate::text::redacted;

/// Number of lines in the document.
const RECENT: usize = 50;

/// Counts and levels of the log, and its newest lines.
#[derive(Debug, Serialize)]
pub(crate) struct Part {
    log_levels: Counts,
    recent_lines: Vec<String>,
    levels: Vec<Rule>,
}

#[derive(Debug, Serialize)]
struct Counts {
    level: &'static str,
    written: u64,
    dropped: u64,
}

/// Level of a target.
#[derive(Debug, Serialize)]
struct Rule {
    /// Start of the names that it applies to; empty for everything.
    target: String,
    /// `None` if nothing is written.
    level: Option<&'static str>,
    remaining_seconds: Option<u64>,
    who: Option<String>,
    why: Option<String>,
}

/// Lines after a number.
#[derive(Debug, Serialize)]
pub(crate) struct Lines {
    /// Number of the newest line that was written.
    pub(crate) last: u64,
    /// Number of lines that were written and are not included.
    pub(crate) missed: u64,
    pub(crate) lines: Vec<String>,
}

/// Conditions for a line.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// Least severe level.
    pub(crate) level: Option<Level>,
    /// Part of the line, ignoring case.
    pub(crate) text: Option<String>,
    pub(crate) trace_id: Option<String>,
}

pub(crate) use ops_log::Level;

pub(crate) fn collect() -> Option<Part> {
    let stats = ops_log::stats();
    let rules = ops_log::levels().into_iter();
    Some(Part {
        log_levels: Counts {
            level: ops_log::level().as_str(),
            written: stats.written,
            dropped: stats.dropped,
        },
        recent_lines: ops_log::recent(RECENT),
        levels: rules
            .map(|rule| {
                let temporary = rule.temporary.as_ref();
                Rule {
                    target: redacted(&rule.target),
                    level: rule.level.map(ops_log::Level::as_str),
                    remaining_seconds: temporary.map(|change| seconds_left(change.remaining)),
                    who: temporary.map(|change| redacted(&change.who)),
                    why: temporary.map(|change| redacted(&change.why)),
                }
            })
            .collect(),
    })
}

/// Returns the newest matching lines, at most `limit`, newest first.
pub(crate) fn lines(wanted: &Wanted, limit: usize) -> Option<Lines> {
    let kept = ops_log::recent_after(0);
    let lines = kept.lines.into_iter().rev();
    let lines: Vec<_> = lines
        .filter(|line| wanted.takes(line))
        .take(limit)
        .collect();
    Some(Lines {
        last: kept.last,
        missed: 0,
        lines,
    })
}

/// Returns the number of the newest line.
pub(crate) fn last() -> u64 {
    ops_log::recent_after(u64::MAX).last
}

/// Returns the newest lines after the one with this number that fit into this many bytes, oldest first.
pub(crate) fn lines_after(number: u64, bytes: usize) -> Option<Lines> {
    let fresh = ops_log::recent_after(number);
    let mut left = bytes;
    let fit = |line: &&String| {
        let fits = line.len() <= left;
        left = left.saturating_sub(line.len());
        fits
    };
    let mut lines: Vec<_> = fresh.lines.iter().rev().take_while(fit).cloned().collect();
    lines.reverse();
    let shown = u64::try_from(lines.len()).unwrap_or(u64::MAX);
    Some(Lines {
        last: fresh.last,
        missed: fresh.last.saturating_sub(number).saturating_sub(shown),
        lines,
    })
}

#[cfg(feature = "trace")]
pub(super) fn of_trace(id: &str) -> Vec<String> {
    let wanted = Wanted {
        trace_id: Some(id.to_owned()),
        ..Wanted::default()
    };
    let mut lines = lines(&wanted, usize::MAX).map_or_else(Vec::new, |lines| lines.lines);
    lines.reverse();
    lines
}

impl Wanted {
    fn takes(&self, line: &str) -> bool {
        let text = self.text.as_ref();
        if text.is_some_and(|text| !line.to_lowercase().contains(&text.to_lowercase())) {
            return false;
        }
        if self.level.is_none() && self.trace_id.is_none() {
            return true;
        }
        // a truncated line is not JSON, and its fields are unknown
        let Ok(fields) = serde_json::from_str::<serde_json::Value>(line) else {
            return false;
        };
        let is_severe = |least: Level| {
            let level = fields["level"]
                .as_str()
                .and_then(|text| text.parse::<Level>().ok());
            level.is_some_and(|level| level >= least)
        };
        let known = fields["trace_id"].as_str().unwrap_or_default();
        let is_of = |id: &String| known.eq_ignore_ascii_case(id);
        self.level.is_none_or(is_severe) && self.trace_id.as_ref().is_none_or(is_of)
    }
}
