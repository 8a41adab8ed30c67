//! What is known of one secret's remote value, and the rules of freshness.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use crate::cache::flight::Flight;
use crate::error::ErrorKind;
use crate::resolver::listeners::InUse;
use crate::{Attempt, Secret};

/// An absent secret is asked for again after this long at the latest.
pub const NEGATIVE_TTL: Duration = Duration::from_secs(30);
/// The longest pause between two attempts after errors; the first is one second and each doubles.
pub const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// Up to this share of a time to live is taken off, so that secrets fetched together are not refreshed together.
const JITTER_PERCENT: u64 = 10;
/// From this share of its time to live a hit starts a refresh in the background.
const REFRESH_AHEAD_PERCENT: u64 = 80;

/// What is held of one secret. `known` is swapped as a whole by the one flight that is under way; read without a lock.
#[derive(Default)]
pub(crate) struct Slot {
    pub(crate) known: ArcSwapOption<Known>,
    pub(crate) flight: Mutex<Option<Arc<Flight<Landed>>>>,
    /// The value in use, from whatever source.
    pub(crate) in_use: ArcSwapOption<InUse>,
    /// The longest time to live that a caller asked for, in seconds: how long a value may still be of use.
    pub(crate) longest_ttl: AtomicU64,
}

/// How a flight ended: a value, definitely nothing, or a failure.
pub(crate) type Landed = Result<Option<Secret>, Failure>;

#[derive(Clone)]
pub(crate) struct Known {
    /// Up to this millisecond the value answers a caller without wishes, and nothing else needs doing.
    pub(crate) quiet_until: u64,
    pub(crate) value: Option<Value>,
    pub(crate) failure: Option<Failure>,
}

#[derive(Clone)]
pub(crate) struct Value {
    /// `None`: the remote sources definitely do not have it.
    pub(crate) secret: Option<Secret>,
    pub(crate) fetched_at: Duration,
    /// Percent taken off each time to live.
    pub(crate) jitter: u64,
    pub(crate) tried: Arc<[Attempt]>,
}

#[derive(Clone)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) tried: Arc<[Attempt]>,
    pub(crate) retry_at: Duration,
    pub(crate) in_a_row: u32,
}

/// What a caller with a certain time to live does.
pub(crate) enum Decision {
    Fresh {
        value: Option<Secret>,
        refresh: bool,
    },
    Stale(Secret),
    Failed(Failure),
    Fetch,
}

impl Slot {
    /// The whole of a hit by a caller without wishes.
    #[inline]
    pub(crate) fn at_hand(&self, now_millis: u64) -> Option<Secret> {
        let known = self.known.load();
        let known = known.as_deref()?;
        if now_millis >= known.quiet_until {
            return None;
        }
        known.value.as_ref()?.secret.clone()
    }
}

impl Known {
    pub(crate) fn new(value: Option<Value>, failure: Option<Failure>, ttl: Duration) -> Self {
        let until = |value: &Value| millis(value.fetched_at) + value.soon(ttl);
        Self {
            quiet_until: value.as_ref().map_or(0, until),
            value,
            failure,
        }
    }

    pub(crate) fn decide(&self, ttl: Duration, max_stale: Duration, now: Duration) -> Decision {
        let waiting = self
            .failure
            .as_ref()
            .filter(|failure| now < failure.retry_at);
        if let Some(value) = &self.value
            && !ttl.is_zero()
        {
            let (age, lifetime) = (value.age(now), value.lifetime(ttl));
            if age <= lifetime {
                return Decision::Fresh {
                    value: value.secret.clone(),
                    refresh: age >= value.soon(ttl) && value.secret.is_some() && waiting.is_none(),
                };
            }
        }
        match waiting {
            None => Decision::Fetch,
            Some(failure) => match self.stale(failure.kind, ttl, max_stale, now) {
                Some(secret) => Decision::Stale(secret),
                None => Decision::Failed(failure.clone()),
            },
        }
    }

    /// What the sources said that do not have it.
    pub(crate) fn tried_in_vain(&self) -> Vec<Attempt> {
        let value = self.value.as_ref();
        value.map_or_else(Vec::new, |value| value.tried.to_vec())
    }

    /// The last good value, where this kind of failure allows it and it is not too old.
    pub(crate) fn stale(
        &self,
        kind: ErrorKind,
        ttl: Duration,
        max_stale: Duration,
        now: Duration,
    ) -> Option<Secret> {
        let value = self
            .value
            .as_ref()
            .filter(|_| kind.allows_stale() && !max_stale.is_zero())?;
        let limit = ttl.saturating_add(max_stale);
        value
            .secret
            .clone()
            .filter(|_| now.saturating_sub(value.fetched_at) <= limit)
    }
}

impl Value {
    fn age(&self, now: Duration) -> u64 {
        millis(now.saturating_sub(self.fetched_at))
    }

    fn lifetime(&self, ttl: Duration) -> u64 {
        match self.secret {
            Some(_) => millis(ttl) * (100 - self.jitter.min(JITTER_PERCENT)) / 100,
            None => millis(ttl.min(NEGATIVE_TTL)),
        }
    }

    pub(crate) fn due_in(&self, ttl: Duration, now: Duration) -> Duration {
        Duration::from_millis(self.soon(ttl).saturating_sub(self.age(now)))
    }

    /// The age from which a hit starts a refresh, in milliseconds.
    fn soon(&self, ttl: Duration) -> u64 {
        self.lifetime(ttl) * REFRESH_AHEAD_PERCENT / 100
    }
}

/// Whole milliseconds; times to live are at most [`MAX_TTL`](crate::MAX_TTL), so nothing overflows.
fn millis(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_mul(1000)
        .saturating_add(u64::from(duration.subsec_millis()))
}

/// 1 s, 2 s, 4 s and so on, at most [`MAX_BACKOFF`].
pub(crate) fn backoff(in_a_row: u32) -> Duration {
    Duration::from_secs(1 << in_a_row.saturating_sub(1).min(6)).min(MAX_BACKOFF)
}

/// 0 to [`JITTER_PERCENT`], from the standard library's random hash keys.
pub(crate) fn jitter() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0_u8) % (JITTER_PERCENT + 1)
}
