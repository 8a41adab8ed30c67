//! A source with its circuit breaker, its request counter and panic isolation.

use std::collections::{HashMap, HashSet};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::cache::breaker::{BREAKER_OPEN, Breaker, Change};
use crate::cache::clock::Clock;
use crate::caught::caught;
use crate::error::ErrorKind;
use crate::source::{FetchError, FetchResult, Health, Source};
use crate::{Attempt, SecretSource};

/// Time between the deadline and cutting a source off, in which it can return its results so far.
const GRACE: Duration = Duration::from_millis(50);

pub(crate) struct BreakerSource {
    pub(crate) origin: SecretSource,
    source: Arc<dyn Source>,
    breaker: Breaker,
    requests: AtomicU64,
    last: Mutex<Health>,
    /// Names that this source refused and another one returned, and for which that was logged.
    logged_skips: Mutex<HashSet<String>>,
}

impl BreakerSource {
    pub(crate) fn new(origin: SecretSource, source: Arc<dyn Source>) -> Self {
        Self {
            origin,
            source,
            breaker: Breaker::default(),
            requests: AtomicU64::new(0),
            last: Mutex::new(Health::Unknown),
            logged_skips: Mutex::default(),
        }
    }

    /// Returns the number of requests to the source; a bulk request counts once.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Returns the state that the source reports. Returns the result of its last lookup
    /// if the source reports none, or reports healthy while the breaker is open.
    pub(crate) fn health(&self) -> Health {
        let reported = caught(|| self.source.health());
        match reported.unwrap_or(Health::Unknown) {
            Health::Unknown => self.last.lock().clone(),
            health if self.breaker.is_open() && health == Health::Healthy => {
                self.last.lock().clone()
            }
            health => health,
        }
    }

    /// Requests all names. `None` if the source returned nothing by `until`.
    pub(crate) async fn ask(
        &self,
        names: &[String],
        clock: &Clock,
        until: Instant,
    ) -> Option<HashMap<String, FetchResult>> {
        if let Some((kind, why)) = self.breaker.refuses(clock.now()) {
            let refused = FetchError::unreachable(kind, format!("{why}; not retried yet"));
            let answer = |name: &String| (name.clone(), Err(refused.clone()));
            return Some(names.iter().map(answer).collect());
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        let fetched = tokio::time::timeout_at((until + GRACE).into(), self.fetch(names, until));
        let Ok(fetched) = fetched.await else {
            *self.last.lock() = Health::Unhealthy("no response within the deadline".to_owned());
            return None;
        };
        self.learn(names, &fetched, clock);
        Some(names.iter().cloned().zip(fetched).collect())
    }

    /// Logs once per name that the source refused it and a later source had the secret: nothing else reports that.
    pub(crate) fn log_skipped(&self, kind: ErrorKind, name: &str, attempt: &Attempt) {
        if self.logged_skips.lock().insert(name.to_owned()) {
            let (source, why) = (self.origin, attempt.outcome.as_str());
            caught(
                || tracing::warn!(target: "ops_secrets", %source, kind = kind.as_str(), why, "secret_source_passed_over"),
            );
        }
    }

    /// Calls the source. Its panic fails only its names.
    async fn fetch(&self, names: &[String], until: Instant) -> Vec<FetchResult> {
        let broken = || {
            let failed = FetchError::failed(ErrorKind::Transient, "the source panicked");
            vec![Err(failed); names.len()]
        };
        let Some(mut fetching) = caught(|| self.source.fetch(names, until)) else {
            return broken();
        };
        poll_fn(|cx| {
            let polled = caught(|| fetching.as_mut().poll(cx));
            polled.unwrap_or_else(|| Poll::Ready(broken()))
        })
        .await
    }

    fn learn(&self, names: &[String], fetched: &[FetchResult], clock: &Clock) {
        let unreachable = fetched.iter().find_map(|fetched| match fetched {
            Err(FetchError::Unreachable { kind, detail }) => Some((*kind, detail.as_str())),
            _ => None,
        });
        let is_taken = |fetched: &FetchResult| matches!(fetched, Ok(_) | Err(FetchError::Absent));
        let taken = names.iter().zip(fetched);
        let taken = taken.filter(|(_, fetched)| is_taken(fetched));
        let mut logged_skips = self.logged_skips.lock();
        for (name, _) in taken {
            logged_skips.remove(name);
        }
        drop(logged_skips);
        let failure = unreachable.map(|(_, why)| why);
        *self.last.lock() = match failure.or_else(|| failure_of_all(fetched)) {
            Some(why) => Health::Unhealthy(why.to_owned()),
            None => Health::Healthy,
        };
        let source = self.origin;
        match (self.breaker.record(unreachable, clock.now()), unreachable) {
            (Change::Opened, Some((kind, why))) => {
                let seconds = BREAKER_OPEN.as_secs();
                caught(
                    || tracing::warn!(target: "ops_secrets", %source, kind = kind.as_str(), why, seconds, "secret_source_unreachable"),
                );
            }
            (Change::Closed, _) => {
                caught(
                    || tracing::info!(target: "ops_secrets", %source, "secret_source_reachable_again"),
                );
            }
            _ => {}
        }
    }
}

/// Returns the reason why a source has no result for any name, if the source
/// may be the cause. Failures that are specific to a name do not count.
fn failure_of_all(fetched: &[FetchResult]) -> Option<&str> {
    let mut why = None;
    for fetched in fetched {
        match fetched {
            Err(FetchError::Failed { kind, detail }) if is_of_the_source(*kind) => {
                why.get_or_insert(detail.as_str());
            }
            _ => return None,
        }
    }
    why
}

fn is_of_the_source(kind: ErrorKind) -> bool {
    kind.allows_stale() || kind == ErrorKind::Unauthenticated
}
