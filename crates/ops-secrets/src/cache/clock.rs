use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Monotonic time since the resolver was created, precise to a few milliseconds.
#[derive(Clone, Debug)]
pub(crate) enum Clock {
    System(Start),
    #[cfg_attr(
        not(feature = "testing"),
        expect(dead_code, reason = "made by the feature `testing`")
    )]
    Manual(Arc<AtomicU64>),
}

impl Clock {
    pub(crate) fn system() -> Self {
        Self::System(Start::now())
    }

    pub(crate) fn now(&self) -> Duration {
        Duration::from_millis(self.millis())
    }

    /// Returns milliseconds as an integer: on a hit, arithmetic with `Duration` would cost more than the lookup itself.
    pub(crate) fn millis(&self) -> u64 {
        match self {
            Self::System(start) => start.millis(),
            Self::Manual(millis) => millis.load(Ordering::Acquire),
        }
    }
}

/// Start time on the kernel's coarse clock: lifetimes are counted in
/// seconds, and a precise clock would be the most expensive part of a hit.
#[cfg(target_os = "linux")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start(i64);

#[cfg(target_os = "linux")]
impl Start {
    fn now() -> Self {
        Self(Self::monotonic())
    }

    fn millis(self) -> u64 {
        Self::monotonic().saturating_sub(self.0).unsigned_abs()
    }

    fn monotonic() -> i64 {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
        now.tv_sec * 1000 + now.tv_nsec / 1_000_000
    }
}

#[cfg(not(target_os = "linux"))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start(std::time::Instant);

#[cfg(not(target_os = "linux"))]
impl Start {
    fn now() -> Self {
        Self(std::time::Instant::now())
    }

    fn millis(self) -> u64 {
        self.0.elapsed().as_millis() as u64
    }
}
