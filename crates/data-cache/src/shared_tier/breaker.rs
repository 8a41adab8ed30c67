//! Circuit breaker: a store that fails is not waited for.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Interval between two probes of a store that failed.
pub(super) const PAUSE: Duration = Duration::from_secs(5);
/// Time after which a probe without an outcome counts as lost.
const PROBE_LIMIT: Duration = Duration::from_secs(30);

/// Time at which the next probe is due; `None` while the store may be called.
#[derive(Default)]
pub(super) struct Breaker(Mutex<Option<Instant>>);

/// Permission to call the store.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Permit {
    Call,
    /// Do not call it, but probe it in the background.
    Probe,
    Refused,
}

impl Breaker {
    pub(super) fn permit(&self, now: Instant) -> Permit {
        let mut due = self.0.lock();
        match *due {
            None => Permit::Call,
            Some(moment) if now >= moment => {
                *due = Some(now + PROBE_LIMIT);
                Permit::Probe
            }
            Some(_) => Permit::Refused,
        }
    }

    /// Opens the breaker; returns `true` if it was closed.
    pub(super) fn failed(&self, now: Instant, pause: Duration) -> bool {
        let mut due = self.0.lock();
        let was_closed = due.is_none();
        // calls that began before the first failure fail later, and postpone nothing
        due.get_or_insert(now + pause);
        was_closed
    }

    pub(super) fn probed(&self, is_answered: bool, now: Instant, pause: Duration) {
        *self.0.lock() = (!is_answered).then(|| now + pause);
    }

    pub(super) fn is_open(&self) -> bool {
        self.0.lock().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_opens_it_and_one_probe_at_a_time_may_close_it() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        assert_eq!(breaker.permit(start), Permit::Call);
        assert!(breaker.failed(start, PAUSE));
        assert!(!breaker.failed(start, PAUSE));
        assert_eq!(breaker.permit(start), Permit::Refused);
        assert_eq!(breaker.permit(start + PAUSE), Permit::Probe);
        assert_eq!(breaker.permit(start + PAUSE), Permit::Refused);
        // a late failure of an earlier call starts no second probe
        assert!(!breaker.failed(start + PAUSE, PAUSE));
        assert_eq!(breaker.permit(start + 3 * PAUSE), Permit::Refused);
        breaker.probed(false, start + PAUSE, PAUSE);
        assert_eq!(breaker.permit(start + PAUSE), Permit::Refused);
        assert_eq!(breaker.permit(start + 2 * PAUSE), Permit::Probe);
        breaker.probed(true, start + 2 * PAUSE, PAUSE);
        assert!(!breaker.is_open());
        assert_eq!(breaker.permit(start + 2 * PAUSE), Permit::Call);
    }
}
