//! Cached state of one secret: its remote value, the running lookup, and the value in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwapOption, Guard};
use parking_lot::Mutex;

use crate::cache::flight::{Flight, Outcome};
use crate::cache::freshness::{CachedLookup, LookupResult};
use crate::cache::in_use::InUse;
use crate::cache::ready::{Answer, Ready};

/// Cached state of one secret. `known` is replaced as a whole, together
/// with the `ready` answer derived from it, and read without a lock.
#[derive(Default)]
pub(crate) struct CacheEntry {
    known: ArcSwapOption<CachedLookup>,
    pub(crate) ready: Ready,
    lookups: Mutex<Lookups>,
    /// Value in use, from any source.
    pub(crate) in_use: ArcSwapOption<InUse>,
    /// Longest time to live that a caller requested, in seconds; decides how long a value is kept.
    longest_ttl: AtomicU64,
}

#[derive(Default)]
struct Lookups {
    current: Option<Arc<Flight>>,
    begun: u64,
    /// Lookups up to this number are neither stored nor joined, because something newer is known.
    outdated: u64,
    /// Last time a caller forced a lookup regardless of the cached state.
    forced_at: Option<Duration>,
}

/// Result of joining the lookups of a secret.
pub(crate) enum Joined {
    Running(Arc<Flight>),
    /// New lookup, which the caller has to start.
    New(Arc<Flight>),
    /// Another lookup ended after the caller read the cached state.
    Changed,
}

impl Lookups {
    fn begin(&mut self) -> Arc<Flight> {
        self.begun += 1;
        let flight = Flight::new(self.begun);
        self.current = Some(Arc::clone(&flight));
        flight
    }
}

impl CacheEntry {
    pub(crate) fn known(&self) -> Guard<Option<Arc<CachedLookup>>> {
        self.known.load()
    }

    /// Serves the value of `seen` directly to callers that set no time to live, now
    /// that listeners were notified of it. Does nothing if `seen` was replaced.
    pub(crate) fn enable_fast_path(&self, seen: &Arc<CachedLookup>, ttl: Duration) {
        if let (false, Some(secret)) = (seen.is_reported, seen.secret()) {
            let answer = Answer {
                secret: secret.clone(),
                until: seen.fast_path_until(ttl),
            };
            let reported = CachedLookup {
                is_reported: true,
                ..CachedLookup::clone(seen)
            };
            self.replace(seen, Some(reported), Some(answer));
        }
    }

    /// Stops serving `seen` directly: the value in use comes from another source.
    pub(crate) fn disable_fast_path(&self, seen: &Arc<CachedLookup>) {
        if seen.is_reported {
            let unreported = CachedLookup::new(seen.value.clone(), seen.failure.clone());
            self.replace(seen, Some(unreported), None);
        }
    }

    /// Replaces the cached state if it is still `seen`. Returns whether it was.
    fn replace(
        &self,
        seen: &Arc<CachedLookup>,
        known: Option<CachedLookup>,
        answer: Option<Answer>,
    ) -> bool {
        let known = known.map(Arc::new);
        let change = || {
            let before = self.known.compare_and_swap(seen, known);
            before
                .as_ref()
                .is_some_and(|before| Arc::ptr_eq(before, seen))
        };
        self.ready.replace(change, answer)
    }

    /// Replaces the cached state unconditionally, and returns the previous one.
    fn swap(&self, known: Option<CachedLookup>) -> Option<Arc<CachedLookup>> {
        let (known, mut before) = (known.map(Arc::new), None);
        let change = || {
            before = self.known.swap(known);
            true
        };
        self.ready.replace(change, None);
        before
    }

    /// Joins the running lookup or starts one. A caller that needs a
    /// `fresh` value joins no lookup whose request was already sent.
    pub(crate) fn join(&self, seen: Option<&Arc<CachedLookup>>, fresh: bool) -> Joined {
        let mut lookups = self.lookups.lock();
        let current = lookups.current.as_ref().filter(|flight| flight.is_ours());
        if let Some(flight) = current.filter(|flight| !(fresh && flight.is_sent())) {
            return Joined::Running(Arc::clone(flight));
        }
        let known = self.known.load();
        if !fresh && known.as_ref().map(Arc::as_ptr) != seen.map(Arc::as_ptr) {
            return Joined::Changed;
        }
        Joined::New(lookups.begin())
    }

    /// Forces a lookup: joins the running one if its request is not sent yet, otherwise starts one. If a
    /// lookup was forced within `interval` already, returns the running one, or `None` if it has ended.
    pub(crate) fn join_forced(&self, now: Duration, interval: Duration) -> Option<Joined> {
        let mut lookups = self.lookups.lock();
        let current = lookups.current.as_ref().filter(|flight| flight.is_ours());
        let current = current.map(Arc::clone);
        let is_recent = |at: Duration| now.saturating_sub(at) < interval;
        if lookups.forced_at.is_some_and(is_recent) {
            return current.map(Joined::Running);
        }
        lookups.forced_at = Some(now);
        match current.filter(|flight| !flight.is_sent()) {
            Some(flight) => Some(Joined::Running(flight)),
            None => Some(Joined::New(lookups.begin())),
        }
    }

    /// Ends a lookup: stores the state that `learn` derives from the previous one, unless
    /// something newer is known. Returns the outcome for the caller to land the flight with.
    pub(crate) fn complete(
        &self,
        flight: &Arc<Flight>,
        learn: impl FnOnce(Option<&CachedLookup>) -> (CachedLookup, LookupResult),
    ) -> Outcome {
        let mut lookups = self.lookups.lock();
        let current = lookups.current.as_ref();
        if current.is_some_and(|current| Arc::ptr_eq(current, flight)) {
            lookups.current = None;
        }
        if flight.number <= lookups.outdated {
            return Outcome::Superseded;
        }
        let (known, result) = learn(self.known.load().as_deref());
        self.swap(Some(known));
        lookups.outdated = flight.number;
        Outcome::Answered(result)
    }

    /// Drops the remote value. Lookups that started before are neither stored
    /// nor joined; their waiters start over. Returns whether there was a state.
    pub(crate) fn invalidate(&self) -> bool {
        let mut lookups = self.lookups.lock();
        lookups.outdated = lookups.begun;
        let current = lookups.current.take();
        let known = self.swap(None);
        drop(lookups);
        if let Some(flight) = current {
            flight.land(Outcome::Superseded);
        }
        known.is_some()
    }

    /// Drops a value that is too old for every caller. Returns whether it was.
    pub(crate) fn expire(&self, now: Duration, ttl: Duration, max_stale: Duration) -> bool {
        let known = self.known.load();
        let Some(value) = known.as_ref().and_then(|known| known.value.as_ref()) else {
            return false;
        };
        let longest = Duration::from_secs(self.longest_ttl.load(Ordering::Relaxed));
        let limit = longest.max(ttl).saturating_add(max_stale);
        let is_old = now.saturating_sub(value.fetched_at) > limit;
        if let Some(known) = known.as_ref().filter(|_| is_old) {
            // keep the failure: it is the reason why there is no newer value
            let failure = known.failure.clone();
            let failed = failure.map(|failure| CachedLookup::new(None, Some(failure)));
            self.replace(known, failed, None);
        }
        is_old
    }

    /// Records a requested time to live, which extends how long the value is kept.
    pub(crate) fn note_ttl(&self, ttl: Duration) {
        if ttl.as_secs() > self.longest_ttl.load(Ordering::Relaxed) {
            self.longest_ttl.fetch_max(ttl.as_secs(), Ordering::Relaxed);
        }
    }

    #[cfg_attr(
        not(feature = "testing"),
        expect(dead_code, reason = "read by the feature `testing`")
    )]
    pub(crate) fn waiting(&self) -> usize {
        let lookups = self.lookups.lock();
        lookups
            .current
            .as_ref()
            .map_or(0, |flight| flight.waiting())
    }
}
