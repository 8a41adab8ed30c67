#[cfg(any(feature = "trace", feature = "log"))]
use std::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

/// Returns milliseconds since 1970-01-01 UTC.
pub(crate) fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Returns microseconds.
#[cfg(feature = "trace")]
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Returns the remaining seconds, rounded up.
#[cfg(any(feature = "trace", feature = "log"))]
pub(super) fn seconds_left(left: Duration) -> u64 {
    left.as_secs() + u64::from(left.subsec_nanos() > 0)
}
