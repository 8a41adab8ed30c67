use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Replaces a budget that an `Instant` cannot represent: a year.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Shutdown of all exports: after [`close`](Self::close) nothing is
/// accepted, and pending items are sent until the budget is spent.
#[derive(Debug, Default)]
pub(crate) struct Closing {
    is_closing: AtomicBool,
    deadline: Mutex<Option<Instant>>,
    closed: Condvar,
}

impl Closing {
    /// Begins the shutdown. Only the first call has an effect.
    pub(crate) fn close(&self, budget: Duration) {
        let now = Instant::now();
        let deadline = now.checked_add(budget).unwrap_or_else(|| now + LONGEST);
        self.deadline.lock().get_or_insert(deadline);
        self.is_closing.store(true, Relaxed);
        self.closed.notify_all();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.load(Relaxed)
    }

    /// Returns the rest of the budget; `None` before the shutdown began.
    pub(crate) fn remaining_budget(&self) -> Option<Duration> {
        let deadline = (*self.deadline.lock())?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    /// Waits between two attempts to export, unless the budget of the shutdown ends before. Returns true to try again.
    pub(crate) fn pause(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        let mut deadline = self.deadline.lock();
        while deadline.is_none_or(|deadline| until < deadline) {
            if self.closed.wait_until(&mut deadline, until).timed_out() {
                return true;
            }
        }
        false
    }

    /// Delays the end of each pause until the guard is dropped.
    #[cfg(test)]
    pub(crate) fn hold(&self) -> parking_lot::MutexGuard<'_, Option<Instant>> {
        self.deadline.lock()
    }
}
