//! Clocks of a cache: the wall clock, and a monotonic one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::RwLock;

use crate::clock::Clock;

/// Seconds by which a creation time may be in the future; a larger difference means that the clock was set back since.
pub(super) const CLOCK_SLACK_SECONDS: u64 = 5;

/// Wall-clock time, and time since the cache was opened.
pub(super) struct Time {
    clock: RwLock<Clock>,
    /// Last value of [`steady_seconds`](Self::steady_seconds).
    steady: AtomicU64,
    started: Instant,
    /// Added to the elapsed time; set by tests.
    offset: AtomicU64,
}

impl Default for Time {
    fn default() -> Self {
        Self {
            clock: RwLock::default(),
            steady: AtomicU64::new(0),
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

    /// Seconds since 1970 that stand still after the clock was set back by at most [`CLOCK_SLACK_SECONDS`], until it
    /// catches up: of two results, the later one is not older.
    pub(super) fn steady_seconds(&self) -> u64 {
        let now = self.seconds();
        let ahead = now..=now.saturating_add(CLOCK_SLACK_SECONDS);
        let steady = |before| if ahead.contains(&before) { before } else { now };
        let order = Ordering::Relaxed;
        // the update never fails
        let updated = self
            .steady
            .fetch_update(order, order, |before| Some(steady(before)));
        steady(updated.unwrap_or(now))
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
