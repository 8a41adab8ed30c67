use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Monotonic time since the resolver was made.
#[derive(Clone, Debug)]
pub(crate) enum Clock {
    System(Instant),
    #[cfg_attr(
        not(feature = "testing"),
        expect(dead_code, reason = "made by the feature `testing`")
    )]
    Manual(Arc<AtomicU64>),
}

impl Clock {
    pub(crate) fn system() -> Self {
        Self::System(Instant::now())
    }

    pub(crate) fn now(&self) -> Duration {
        match self {
            Self::System(start) => start.elapsed(),
            Self::Manual(millis) => Duration::from_millis(millis.load(Ordering::Acquire)),
        }
    }
}
