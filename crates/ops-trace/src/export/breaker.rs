use std::time::{Duration, Instant};

use crate::export::client::jitter;

const FAILURES_TO_OPEN: u32 = 3;
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Maximum pause: a collector whose `Retry-After` is longer is tried again after this.
pub(crate) const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Maximum share by which each pause is extended, so that many processes do not retry at the same time.
const JITTER: f64 = 0.2;

/// Circuit breaker: after three failed batches in a row it lets one through from time to time: after 5, 10, 20, 40,
/// then 60 seconds, or after the `Retry-After` of the collector.
#[derive(Debug)]
pub(crate) struct Breaker {
    first_pause: Duration,
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    since: Instant,
    next_probe: Instant,
    pause: Duration,
}

/// Change of state; only changes are logged.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Opened,
    Closed { outage: Duration },
}

impl Breaker {
    pub(crate) fn new(first_pause: Duration) -> Self {
        Self {
            first_pause,
            failures: 0,
            open: None,
        }
    }

    pub(crate) fn allows(&self, now: Instant) -> bool {
        self.open.as_ref().is_none_or(|open| now >= open.next_probe)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    pub(crate) fn succeeded(&mut self, now: Instant) -> Option<Change> {
        self.failures = 0;
        let open = self.open.take()?;
        Some(Change::Closed {
            outage: now.saturating_duration_since(open.since),
        })
    }

    /// Counts a failed batch. A `Retry-After` of the collector opens the breaker at the first failure, for that time.
    pub(crate) fn failed(&mut self, now: Instant, retry_after: Option<Duration>) -> Option<Change> {
        let asked = retry_after.map(|wait| wait.min(MAX_RETRY_AFTER));
        if let Some(open) = &mut self.open {
            open.pause = (open.pause * 2).min(LONGEST_PAUSE);
            open.next_probe = now + asked.unwrap_or_else(|| with_jitter(open.pause));
            return None;
        }
        self.failures += 1;
        if self.failures < FAILURES_TO_OPEN && asked.is_none() {
            return None;
        }
        self.open = Some(Open {
            since: now,
            next_probe: now + asked.unwrap_or_else(|| with_jitter(self.first_pause)),
            pause: self.first_pause,
        });
        Some(Change::Opened)
    }
}

fn with_jitter(pause: Duration) -> Duration {
    pause.mul_f64(1.0 + JITTER * jitter())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_three_failures_probes_later_and_reports_each_change_once() {
        let (start, mut breaker) = (Instant::now(), Breaker::new(Duration::from_secs(5)));
        assert_eq!(breaker.failed(start, None), None);
        assert_eq!(breaker.failed(start, None), None);
        assert_eq!(breaker.failed(start, None), Some(Change::Opened));
        assert!(!breaker.allows(start + Duration::from_secs(4)));
        let probe = start + Duration::from_secs(6);
        assert!(breaker.allows(probe));
        assert_eq!(breaker.failed(probe, None), None);
        assert!(!breaker.allows(probe + Duration::from_secs(9)));
        let recovered = probe + Duration::from_secs(12);
        assert!(breaker.allows(recovered));
        let outage = Duration::from_secs(18);
        assert_eq!(
            breaker.succeeded(recovered),
            Some(Change::Closed { outage })
        );
        assert_eq!(breaker.succeeded(recovered), None);
    }

    #[test]
    fn retry_after_opens_at_once_and_takes_the_place_of_the_pause_up_to_five_minutes() {
        let (start, mut breaker) = (Instant::now(), Breaker::new(Duration::from_secs(5)));
        let seconds = Duration::from_secs;
        assert_eq!(breaker.failed(start, None), None);
        assert_eq!(
            breaker.failed(start, Some(seconds(30))),
            Some(Change::Opened)
        );
        assert!(!breaker.allows(start + seconds(29)));
        assert!(breaker.allows(start + seconds(30)));
        assert_eq!(breaker.failed(start, Some(seconds(1))), None);
        assert!(!breaker.allows(start));
        assert!(breaker.allows(start + seconds(1)), "not the pause of 10 s");
        assert_eq!(breaker.failed(start, Some(seconds(86_400))), None);
        assert!(!breaker.allows(start + seconds(299)));
        assert!(breaker.allows(start + seconds(300)));
    }
}
