//! The two clocks of a cache: the time of day, and one that never steps.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::RwLock;

use crate::clock::Clock;

/// Time of day, and time since the cache was opened.
pub(super) struct Time {
    clock: RwLock<Clock>,
    started: Instant,
    /// Added to the time since then; tests move it.
    offset: AtomicU64,
}

impl Default for Time {
    fn default() -> Self {
        Self {
            clock: RwLock::default(),
            started: Instant::now(),
            offset: AtomicU64::new(0),
        }
    }
}

impl Time {
    /// Seconds since 1970.
    pub(super) fn seconds(&self) -> u64 {
        self.clock.read().seconds()
    }

    /// Milliseconds since 1970.
    pub(super) fn millis(&self) -> u64 {
        self.clock.read().millis()
    }

    /// Milliseconds since the cache was opened.
    pub(super) fn elapsed_millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis())
            .unwrap_or(u64::MAX)
            .saturating_add(self.offset.load(Ordering::Relaxed))
    }

    #[cfg(feature = "testing")]
    pub(super) fn set_clock(&self, clock: Clock) {
        *self.clock.write() = clock;
    }

    #[cfg(feature = "testing")]
    pub(super) fn skip_millis(&self, millis: u64) {
        self.offset.fetch_add(millis, Ordering::Relaxed);
    }
}
