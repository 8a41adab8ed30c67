use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::{Filter, Level};

/// Default duration from which a request is slow: 1 second.
pub const SLOW_REQUEST: Duration = Duration::from_secs(1);

/// Maximum size of the lines kept for one request, in bytes: 64 KiB.
/// Beyond it the oldest lines are discarded, and counted as cut.
pub const MAX_LATE_REQUEST_BYTES: usize = 64 * 1024;

/// Maximum size of the lines kept for all requests together, in bytes: 16 MiB.
/// Beyond it, a request keeps a new line only in place of its own older lines.
pub const MAX_LATE_BYTES: usize = 16 * 1024 * 1024;

/// Lines below the level that are kept for each request until it ends. If it failed or was slow they are written
/// before the access line, each with `late` and the time at which it was logged; otherwise they are dropped.
///
/// A line is rendered and redacted when it is logged. Lines are kept if their context belongs to a
/// request of `http::AccessLog`: across `.await`, in work that was spawned with its context, and on
/// threads to which it was carried. Work that outlives its request keeps no more lines. A line that
/// any output writes at once is not kept, and outputs with a filter of their own get no late lines. As
/// text, in a configuration file and in `OPS_LOG_LATE_LINES`: `debug`, `info,my_crate=debug > 500ms`
/// (slow from 500 ms), `debug > never` (for failed requests only), or `off`, also written `none`.
///
/// ```
/// use ops_log::{Config, LateLines, Level};
///
/// let config = Config::new().late_lines(LateLines::new(Level::Debug));
/// # let _ = config;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LateLines {
    /// `None` if no lines are kept.
    pub(crate) filter: Option<Filter>,
    pub(crate) slow: Option<Duration>,
}

impl LateLines {
    /// Keeps lines that pass a level or a [`Filter`]; requests are slow from [`SLOW_REQUEST`].
    pub fn new(filter: impl Into<Filter>) -> Self {
        Self {
            filter: Some(filter.into()),
            slow: Some(SLOW_REQUEST),
        }
    }

    /// Keeps no lines.
    pub const fn off() -> Self {
        Self {
            filter: None,
            slow: None,
        }
    }

    /// Sets the duration from which a request is slow; `None` if only failed requests count. For a response
    /// without a declared length the time to its head counts: an event stream is long, but not slow.
    #[must_use]
    pub fn slow(mut self, from: impl Into<Option<Duration>>) -> Self {
        self.slow = from.into();
        self
    }

    /// Returns `true` if a request of this duration is slow.
    pub(crate) fn is_slow(&self, elapsed: Duration) -> bool {
        self.slow.is_some_and(|from| elapsed >= from)
    }
}

impl From<Level> for Filter {
    fn from(level: Level) -> Self {
        Self::new(level)
    }
}

impl fmt::Display for LateLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.filter, self.slow) {
            (None, _) => f.write_str("off"),
            (Some(filter), None) => write!(f, "{filter} > never"),
            (Some(filter), Some(slow)) => write!(f, "{filter} > {}ms", slow.as_millis()),
        }
    }
}

impl FromStr for LateLines {
    type Err = ParseLateLinesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = |reason| ParseLateLinesError {
            text: text.to_owned(),
            reason,
        };
        let word = text.trim();
        if word.eq_ignore_ascii_case("off") || word.eq_ignore_ascii_case("none") {
            return Ok(Self::off());
        }
        let (filter, slow) = match text.split_once('>') {
            None => (text, Some(SLOW_REQUEST)),
            Some((filter, slow)) => (filter, duration(slow).ok_or_else(|| refused(None))?),
        };
        if filter.trim().is_empty() {
            return Err(refused(None));
        }
        let filter: Filter = filter
            .parse()
            .map_err(|error: crate::ParseFilterError| refused(Some(error.to_string())))?;
        Ok(Self::new(filter).slow(slow))
    }
}

/// Parses `500ms`, `2s` or `never`.
fn duration(text: &str) -> Option<Option<Duration>> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("never") {
        return Some(None);
    }
    let (number, milliseconds) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (text.strip_suffix('s')?, 1000),
    };
    let number: u64 = number.trim().parse().ok()?;
    Some(Some(Duration::from_millis(
        number.checked_mul(milliseconds)?,
    )))
}

/// Text that is not a valid setting for late lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseLateLinesError {
    text: String,
    /// Reason, if the filter is invalid.
    reason: Option<String>,
}

impl fmt::Display for ParseLateLinesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "invalid late lines {:?}: expected a filter and the duration from which a request is slow, as in debug > 500ms, \
             info,my_crate=debug > 2s or debug > never, or off",
            self.text
        )?;
        match &self.reason {
            Some(reason) => write!(f, "; {reason}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ParseLateLinesError {}
