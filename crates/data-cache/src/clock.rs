//! The wall clock, which tests may set.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// Source of the wall-clock time.
#[derive(Clone, Debug, Default)]
pub(crate) enum Clock {
    #[default]
    System,
    #[cfg_attr(
        not(feature = "testing"),
        expect(dead_code, reason = "only tests set a clock")
    )]
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// Seconds since 1970.
    pub(crate) fn seconds(&self) -> u64 {
        self.millis() / 1000
    }

    /// Milliseconds since 1970.
    pub(crate) fn millis(&self) -> u64 {
        match self {
            Self::System => system_millis(),
            Self::Manual(millis) => millis.load(Ordering::Relaxed),
        }
    }
}

fn system_millis() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
