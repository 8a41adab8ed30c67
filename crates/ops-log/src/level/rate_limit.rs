use std::fmt;
use std::str::FromStr;

/// Maximum rate of lines: a token bucket that holds `burst` lines and is refilled with `per_second` lines a second.
///
/// A line over the limit is not written; the next line of the same event has the field `suppressed` with
/// the number of lines missing before it, and [`Stats::suppressed`](crate::Stats) counts all of them. As
/// text, in a configuration file and in `OPS_LOG_RATE_LIMIT`: `10/s x 50` (a burst of 50), or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// 0 if there is no limit.
    pub(crate) per_second: u32,
    pub(crate) burst: u32,
}

impl RateLimit {
    /// Returns a limit of at least 1 line a second, and a burst of at least 1.
    pub const fn new(per_second: u32, burst: u32) -> Self {
        Self {
            per_second: if per_second == 0 { 1 } else { per_second },
            burst: if burst == 0 { 1 } else { burst },
        }
    }

    /// Returns no limit.
    pub const fn off() -> Self {
        Self {
            per_second: 0,
            burst: 0,
        }
    }

    pub(crate) const fn is_off(self) -> bool {
        self.per_second == 0
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_off() {
            return f.write_str("off");
        }
        write!(f, "{}/s x {}", self.per_second, self.burst)
    }
}

impl FromStr for RateLimit {
    type Err = ParseRateLimitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim().eq_ignore_ascii_case("off") {
            return Ok(Self::off());
        }
        let parsed = || {
            let (rate, burst) = text.split_once(['x', 'X'])?;
            let per_second: u32 = rate.trim().strip_suffix("/s")?.trim().parse().ok()?;
            let burst: u32 = burst.trim().parse().ok()?;
            (per_second > 0 && burst > 0).then_some(Self { per_second, burst })
        };
        parsed().ok_or_else(|| ParseRateLimitError {
            text: text.to_owned(),
        })
    }
}

/// Text that is not a valid rate limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseRateLimitError {
    text: String,
}

impl fmt::Display for ParseRateLimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "invalid rate limit {:?}: expected lines per second and a burst, both at least 1, as in 10/s x 50, or off",
            self.text
        )
    }
}

impl std::error::Error for ParseRateLimitError {}
