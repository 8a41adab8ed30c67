use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Number of consecutive failures after which calls are paused.
const FAILURES_MAX: u32 = 5;
/// Time until one call is admitted again.
const OPEN_FOR: Duration = Duration::from_secs(30);

/// Circuit breaker: opens after several consecutive failures, then admits one call per pause. Admits none while the
/// provider asks to be left alone.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open_until: Option<Instant>,
    rests_until: Option<Instant>,
}

impl Breaker {
    /// Admits a call, or returns the time until one may be admitted.
    pub fn admit(&self, now: Instant) -> Result<(), Duration> {
        let mut state = self.lock();
        if let Some(until) = state.rests_until.filter(|until| now < *until) {
            return Err(until - now);
        }
        match state.open_until {
            Some(until) if now < until => Err(until - now),
            Some(_) => {
                // one call is the probe; others wait for its outcome, or for another pause if it is lost
                state.open_until = Some(now + OPEN_FOR);
                Ok(())
            }
            None => Ok(()),
        }
    }

    pub fn succeeded(&self) {
        let mut state = self.lock();
        state.failures = 0;
        state.open_until = None;
    }

    /// Admits no call until then, as the provider asked; afterwards all calls.
    pub fn pause_until(&self, until: Instant) {
        let mut state = self.lock();
        state.rests_until = state.rests_until.max(Some(until));
    }

    pub fn failed(&self, now: Instant) {
        let mut state = self.lock();
        state.failures = state.failures.saturating_add(1);
        if state.failures >= FAILURES_MAX {
            state.open_until = Some(now + OPEN_FOR);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_consecutive_failures_one_call_is_admitted_per_pause() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        for _ in 1..FAILURES_MAX {
            breaker.failed(start);
        }
        breaker.succeeded();
        for _ in 0..FAILURES_MAX {
            assert!(breaker.admit(start).is_ok());
            breaker.failed(start);
        }
        assert_eq!(breaker.admit(start), Err(OPEN_FOR));
        let later = start + OPEN_FOR;
        assert!(breaker.admit(later).is_ok());
        assert!(breaker.admit(later).is_err(), "one call at a time");
        breaker.failed(later);
        assert_eq!(breaker.admit(later), Err(OPEN_FOR));
        assert!(breaker.admit(later + OPEN_FOR).is_ok());
        breaker.succeeded();
        assert!(breaker.admit(later + OPEN_FOR).is_ok());
    }

    #[test]
    fn no_call_is_admitted_during_a_pause_and_all_are_after_it() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        breaker.pause_until(at(60));
        breaker.pause_until(at(10));
        // the result of a call that started before
        breaker.succeeded();
        assert_eq!(breaker.admit(at(20)), Err(Duration::from_secs(40)));
        for _ in 0..2 {
            assert!(breaker.admit(at(60)).is_ok());
        }
    }
}
