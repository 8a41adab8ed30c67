use std::fmt;

use super::selection::Selection;
use super::stored_line::StoredLine;

/// Filter that takes the lines of a selection, and counts the lines for which the selection cannot be evaluated.
///
/// ```
/// use ops_log::Level;
/// use ops_log::reader::{Selection, Sieve};
///
/// let mut sieve = Sieve::new(Selection::new().level(Level::Error));
/// let lines = [r#"{"level":"error","event":"a"}"#, r#"{"level":"info","event":"b"}"#, r#"{"level":"err"#];
/// let taken = lines.iter().filter(|line| sieve.take(line).is_some()).count();
/// assert_eq!(taken, 1);
/// assert_eq!(sieve.left_out().to_string(), "1 line that is not JSON");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Sieve {
    selection: Selection,
    json_only: bool,
    left_out: LeftOut,
}

/// Line taken by a [`Sieve`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Taken<'a> {
    /// A line of JSON.
    Line(StoredLine),
    /// Anything else, such as a line of a stack trace.
    Text(&'a str),
}

/// Numbers of lines that a [`Sieve`] left out because it could not evaluate them. `Display` is a text
/// such as `2 lines that are not JSON, 1 line without a valid time`; empty if there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftOut {
    /// Number of lines that are not JSON, so they have no level, fields or time. Blank lines are not counted.
    pub not_json: u64,
    /// Number of lines without a readable time, if the selection requires one.
    pub without_instant: u64,
    /// Number of lines without a known level, if the selection requires one.
    pub without_level: u64,
}

/// Condition that cannot be evaluated for a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unjudged {
    NotJson,
    Instant,
    Level,
}

impl Sieve {
    /// Creates a filter for this selection.
    pub fn new(selection: Selection) -> Self {
        Self {
            selection,
            ..Self::default()
        }
    }

    /// Leaves out lines that are not JSON.
    #[must_use]
    pub fn json_only(mut self, json_only: bool) -> Self {
        self.json_only = json_only;
        self
    }

    /// Takes a line, unless the selection does not match, or cannot be evaluated; the latter is counted.
    pub fn take<'a>(&mut self, line: &'a str) -> Option<Taken<'a>> {
        let (judged, taken) = match StoredLine::parse(line) {
            Ok(stored) => (self.selection.judge(&stored), Taken::Line(stored)),
            Err(_) => {
                let judged = self.selection.judge_text(line);
                let judged = match judged {
                    Ok(true) if self.json_only => Err(Unjudged::NotJson),
                    judged => judged,
                };
                (judged, Taken::Text(line))
            }
        };
        match judged {
            Ok(is_wanted) => is_wanted.then_some(taken),
            Err(why) => {
                self.left_out.count(why, line);
                None
            }
        }
    }

    /// Returns the numbers of lines so far that could not be evaluated.
    pub fn left_out(&self) -> LeftOut {
        self.left_out
    }
}

impl LeftOut {
    fn count(&mut self, why: Unjudged, line: &str) {
        match why {
            Unjudged::NotJson => self.not_json += u64::from(!line.trim().is_empty()),
            Unjudged::Instant => self.without_instant += 1,
            Unjudged::Level => self.without_level += 1,
        }
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons = [
            (self.not_json, "that is not JSON", "that are not JSON"),
            (
                self.without_instant,
                "without a valid time",
                "without a valid time",
            ),
            (
                self.without_level,
                "without a known level",
                "without a known level",
            ),
        ];
        let mut between = "";
        for (count, of_one, of_many) in reasons {
            match count {
                0 => continue,
                1 => write!(f, "{between}1 line {of_one}")?,
                _ => write!(f, "{between}{count} lines {of_many}")?,
            }
            between = ", ";
        }
        Ok(())
    }
}
