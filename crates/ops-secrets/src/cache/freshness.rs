//! Freshness rules: how a cached value is used, given its age and the caller's time to live.

use std::sync::Arc;
use std::time::Duration;

use crate::error::ErrorKind;
use crate::{Attempt, Secret};

/// Maximum time for which an absent secret is remembered as absent.
pub const NEGATIVE_TTL: Duration = Duration::from_secs(30);
/// Maximum pause between two attempts after errors; the first pause is one second, and each one doubles.
pub const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// Maximum share of a time to live that is subtracted at random,
/// so that secrets fetched together are not refreshed together.
const JITTER_PERCENT: u64 = 10;
/// Share of its time to live from which a hit starts a refresh in the background.
const REFRESH_AHEAD_PERCENT: u64 = 80;

/// Result of one lookup: a value, a definite absence, or a failure.
pub(crate) type LookupResult = Result<Option<Secret>, Failure>;

/// Last value and last failure of the remote sources of one secret.
#[derive(Clone)]
pub(crate) struct CachedLookup {
    /// Listeners were notified of the value: callers that set no time to live get it directly.
    pub(crate) is_reported: bool,
    pub(crate) value: Option<RemoteValue>,
    pub(crate) failure: Option<Failure>,
}

#[derive(Clone)]
pub(crate) struct RemoteValue {
    /// `None` if the remote sources definitely do not have the secret.
    pub(crate) secret: Option<Secret>,
    pub(crate) fetched_at: Duration,
    /// Percent subtracted from each time to live.
    pub(crate) jitter: u64,
    pub(crate) tried: Arc<[Attempt]>,
    /// A source before the one that has the value failed.
    pub(crate) skipped_failure: bool,
}

#[derive(Clone)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    /// The sources after it are queried despite the failure: in automatic
    /// mode, AWS is unavailable or refuses the credentials.
    pub(crate) falls_back: bool,
    pub(crate) tried: Arc<[Attempt]>,
    /// Index of the failed attempt: sources after it may have been queried, without a result.
    at: usize,
    pub(crate) failed_at: Duration,
    pub(crate) retry_at: Duration,
    pub(crate) in_a_row: u32,
    /// Kinds of the failures in a row that were logged.
    logged: Kinds,
}

/// Set of error kinds.
#[derive(Clone, Copy, Default)]
struct Kinds(u16);

/// Decision for a caller with a certain time to live.
pub(crate) enum Freshness {
    Fresh {
        value: Option<Secret>,
        refresh: bool,
    },
    Stale(Secret),
    Failed(Failure),
    Fetch,
}

impl CachedLookup {
    pub(crate) fn new(value: Option<RemoteValue>, failure: Option<Failure>) -> Self {
        Self {
            is_reported: false,
            value,
            failure,
        }
    }

    /// Returns the millisecond until which callers that set no time to live can be served without further work.
    pub(crate) fn fast_path_until(&self, ttl: Duration) -> u64 {
        let until = |value: &RemoteValue| millis(value.fetched_at) + value.refresh_age(ttl);
        self.value.as_ref().map_or(0, until)
    }

    pub(crate) fn secret(&self) -> Option<&Secret> {
        self.value.as_ref()?.secret.as_ref()
    }

    /// Decides how the cached state serves a caller. A time to live of zero accepts nothing that is cached.
    pub(crate) fn freshness(&self, ttl: Duration, max_stale: Duration, now: Duration) -> Freshness {
        if ttl.is_zero() {
            return Freshness::Fetch;
        }
        let failure = self.failure.as_ref();
        let backing_off = failure.filter(|failure| now < failure.retry_at);
        if let Some(value) = &self.value {
            let (age, lifetime) = (value.age(now), value.lifetime(ttl));
            if age <= lifetime {
                return Freshness::Fresh {
                    value: value.secret.clone(),
                    refresh: age >= value.refresh_age(ttl)
                        && value.secret.is_some()
                        && backing_off.is_none(),
                };
            }
        }
        match backing_off {
            None => Freshness::Fetch,
            Some(failure) => match self.stale(failure.kind, ttl, max_stale, now) {
                Some(secret) => Freshness::Stale(secret),
                None => Freshness::Failed(failure.clone()),
            },
        }
    }

    /// Returns the attempts at the sources that do not have the secret.
    pub(crate) fn absent_attempts(&self) -> Vec<Attempt> {
        let value = self.value.as_ref();
        value.map_or_else(Vec::new, |value| value.tried.to_vec())
    }

    /// Returns the last good value if this kind of failure allows
    /// it, it is not too old, and the caller accepts old values.
    pub(crate) fn stale(
        &self,
        kind: ErrorKind,
        ttl: Duration,
        max_stale: Duration,
        now: Duration,
    ) -> Option<Secret> {
        if !kind.allows_stale() || max_stale.is_zero() || ttl.is_zero() {
            return None;
        }
        let value = self.value.as_ref()?;
        let limit = ttl.saturating_add(max_stale);
        let age = now.saturating_sub(value.fetched_at);
        value.secret.clone().filter(|_| age <= limit)
    }
}

impl RemoteValue {
    pub(crate) fn new(secret: Option<Secret>, fetched_at: Duration, tried: Vec<Attempt>) -> Self {
        Self {
            secret,
            fetched_at,
            jitter: jitter(),
            tried: tried.into(),
            skipped_failure: false,
        }
    }

    /// Records whether a source before the one that has the value failed.
    pub(crate) fn skipped_failure(mut self, skipped_failure: bool) -> Self {
        self.skipped_failure = skipped_failure;
        self
    }

    fn age(&self, now: Duration) -> u64 {
        millis(now.saturating_sub(self.fetched_at))
    }

    fn lifetime(&self, ttl: Duration) -> u64 {
        match self.secret {
            Some(_) => millis(ttl) * (100 - self.jitter.min(JITTER_PERCENT)) / 100,
            None => millis(ttl.min(NEGATIVE_TTL)),
        }
    }

    pub(crate) fn is_over(&self, ttl: Duration, now: Duration) -> bool {
        self.age(now) > self.lifetime(ttl)
    }

    pub(crate) fn due_in(&self, ttl: Duration, now: Duration) -> Duration {
        Duration::from_millis(self.refresh_age(ttl).saturating_sub(self.age(now)))
    }

    /// Returns the age from which a hit starts a refresh, in milliseconds.
    fn refresh_age(&self, ttl: Duration) -> u64 {
        self.lifetime(ttl) * REFRESH_AHEAD_PERCENT / 100
    }
}

impl Failure {
    /// Creates the failure that follows `before`, of the attempt
    /// at index `at`. Each failure in a row doubles the pause.
    pub(crate) fn after(
        before: Option<&CachedLookup>,
        (kind, falls_back): (ErrorKind, bool),
        (tried, at): (Vec<Attempt>, usize),
        now: Duration,
    ) -> Self {
        let before = before.and_then(|known| known.failure.as_ref());
        let in_a_row = before.map_or(0, |failure| failure.in_a_row) + 1;
        Self {
            logged: before.map(|failure| failure.logged).unwrap_or_default(),
            kind,
            falls_back,
            tried: tried.into(),
            at,
            failed_at: now,
            retry_at: now + backoff(in_a_row),
            in_a_row,
        }
    }

    /// Returns the attempt that failed.
    pub(crate) fn cause(&self) -> Option<&Attempt> {
        self.tried.get(self.at)
    }

    /// Returns whether the log already covers this failure: of failures that allow a
    /// stale value, only the first in a row is logged; of others, the first of each kind.
    pub(crate) fn is_logged(&self) -> bool {
        match self.kind.allows_stale() {
            true => !self.logged.is_empty(),
            false => self.logged.has(self.kind),
        }
    }

    pub(crate) fn set_logged(&mut self) {
        self.logged.insert(self.kind);
    }
}

impl Kinds {
    fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn has(self, kind: ErrorKind) -> bool {
        self.0 & Self::bit(kind) != 0
    }

    fn insert(&mut self, kind: ErrorKind) {
        self.0 |= Self::bit(kind);
    }

    fn bit(kind: ErrorKind) -> u16 {
        1 << kind as u16
    }
}

/// Converts to whole milliseconds. Times to live are at most [`MAX_TTL`](crate::MAX_TTL), so nothing overflows.
fn millis(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_mul(1000)
        .saturating_add(u64::from(duration.subsec_millis()))
}

/// Returns the pause: 1 s, 2 s, 4 s and so on, at most [`MAX_BACKOFF`].
fn backoff(in_a_row: u32) -> Duration {
    Duration::from_secs(1 << in_a_row.saturating_sub(1).min(6)).min(MAX_BACKOFF)
}

/// Returns a random number from 0 to [`JITTER_PERCENT`], based on the standard library's random hash keys.
fn jitter() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0_u8) % (JITTER_PERCENT + 1)
}
