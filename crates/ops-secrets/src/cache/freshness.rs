//! Rules of freshness: what a value of a certain age is worth to a caller with a certain time to live.

use std::sync::Arc;
use std::time::Duration;

use crate::error::ErrorKind;
use crate::{Attempt, Secret};

/// An absent secret is asked for again after this long at the latest.
pub const NEGATIVE_TTL: Duration = Duration::from_secs(30);
/// The longest pause between two attempts after errors; the first is one second and each doubles.
pub const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// Up to this share of a time to live is taken off, so that secrets fetched together are not refreshed together.
const JITTER_PERCENT: u64 = 10;
/// From this share of its time to live a hit starts a refresh in the background.
const REFRESH_AHEAD_PERCENT: u64 = 80;

/// Result of one lookup: a value, definitely nothing, or a failure.
pub(crate) type LookupResult = Result<Option<Secret>, Failure>;

/// Last value and last failure of one secret's remote sources.
#[derive(Clone)]
pub(crate) struct CachedLookup {
    /// The value is announced: it answers callers without a time to live at once.
    pub(crate) is_quiet: bool,
    pub(crate) value: Option<RemoteValue>,
    pub(crate) failure: Option<Failure>,
}

#[derive(Clone)]
pub(crate) struct RemoteValue {
    /// `None`: the remote sources definitely do not have it.
    pub(crate) secret: Option<Secret>,
    pub(crate) fetched_at: Duration,
    /// Percent taken off each time to live.
    pub(crate) jitter: u64,
    pub(crate) tried: Arc<[Attempt]>,
    /// A source before the one that has it failed.
    pub(crate) passed_over: bool,
}

#[derive(Clone)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    /// The sources after the remote ones are asked all the same: AWS is not there, in automatic mode.
    pub(crate) passes: bool,
    pub(crate) tried: Arc<[Attempt]>,
    /// Place of the attempt that failed: sources behind it may have been asked, and have nothing.
    at: usize,
    pub(crate) failed_at: Duration,
    pub(crate) retry_at: Duration,
    pub(crate) in_a_row: u32,
    /// Kinds of those in a row that were logged.
    logged: Kinds,
}

/// A set of kinds.
#[derive(Clone, Copy, Default)]
struct Kinds(u16);

/// Answer of the cache to a caller with a certain time to live.
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
            is_quiet: false,
            value,
            failure,
        }
    }

    /// Millisecond until which nothing needs doing for callers without a time to live.
    pub(crate) fn quiet_until(&self, ttl: Duration) -> u64 {
        let until = |value: &RemoteValue| millis(value.fetched_at) + value.soon(ttl);
        self.value.as_ref().map_or(0, until)
    }

    pub(crate) fn secret(&self) -> Option<&Secret> {
        self.value.as_ref()?.secret.as_ref()
    }

    /// Judges the value. A time to live of zero accepts nothing that is known already.
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
                    refresh: age >= value.soon(ttl)
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

    /// Attempts at the sources that do not have it.
    pub(crate) fn tried_in_vain(&self) -> Vec<Attempt> {
        let value = self.value.as_ref();
        value.map_or_else(Vec::new, |value| value.tried.to_vec())
    }

    /// The last good value, if this kind of failure allows it, it is not too old, and the caller takes old values.
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
            passed_over: false,
        }
    }

    /// Sets whether a source before the one that has it failed.
    pub(crate) fn passed_over(mut self, passed_over: bool) -> Self {
        self.passed_over = passed_over;
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
        Duration::from_millis(self.soon(ttl).saturating_sub(self.age(now)))
    }

    /// Age from which a hit starts a refresh, in milliseconds.
    fn soon(&self, ttl: Duration) -> u64 {
        self.lifetime(ttl) * REFRESH_AHEAD_PERCENT / 100
    }
}

impl Failure {
    /// The failure after `before`, of the attempt at this place: each one in a row doubles the pause.
    pub(crate) fn after(
        before: Option<&CachedLookup>,
        (kind, passes): (ErrorKind, bool),
        (tried, at): (Vec<Attempt>, usize),
        now: Duration,
    ) -> Self {
        let before = before.and_then(|known| known.failure.as_ref());
        let in_a_row = before.map_or(0, |failure| failure.in_a_row) + 1;
        Self {
            logged: before.map(|failure| failure.logged).unwrap_or_default(),
            kind,
            passes,
            tried: tried.into(),
            at,
            failed_at: now,
            retry_at: now + backoff(in_a_row),
            in_a_row,
        }
    }

    /// The attempt that failed.
    pub(crate) fn cause(&self) -> Option<&Attempt> {
        self.tried.get(self.at)
    }

    /// Reports whether the log says as much already: of failures that pass the first one does for all, of others the first one of
    /// each kind.
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

/// Whole milliseconds; times to live are at most [`MAX_TTL`](crate::MAX_TTL), so nothing overflows.
fn millis(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_mul(1000)
        .saturating_add(u64::from(duration.subsec_millis()))
}

/// 1 s, 2 s, 4 s and so on, at most [`MAX_BACKOFF`].
fn backoff(in_a_row: u32) -> Duration {
    Duration::from_secs(1 << in_a_row.saturating_sub(1).min(6)).min(MAX_BACKOFF)
}

/// 0 to [`JITTER_PERCENT`], from the standard library's random hash keys.
fn jitter() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0_u8) % (JITTER_PERCENT + 1)
}
