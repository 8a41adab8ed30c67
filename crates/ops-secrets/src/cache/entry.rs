//! Memory of one secret: what is known of its remote value, the lookup under way, and the value in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwapOption, Guard};
use parking_lot::Mutex;

use crate::cache::flight::{Flight, Outcome};
use crate::cache::freshness::{CachedLookup, LookupResult};
use crate::cache::in_use::InUse;
use crate::cache::ready::{Answer, Ready};

/// Memory of one secret. `known` is swapped as a whole, together with the answer that follows from it, and read without a lock.
#[derive(Default)]
pub(crate) struct CacheEntry {
    known: ArcSwapOption<CachedLookup>,
    pub(crate) ready: Ready,
    lookups: Mutex<Lookups>,
    /// The value in use, from whatever source.
    pub(crate) in_use: ArcSwapOption<InUse>,
    /// The longest time to live that a caller asked for, in seconds: how long a value may still be of use.
    longest_ttl: AtomicU64,
}

#[derive(Default)]
struct Lookups {
    current: Option<Arc<Flight>>,
    begun: u64,
    /// Lookups up to this number are neither stored nor joined: something newer is known.
    outdated: u64,
    /// Last time that a caller had a lookup begin whatever is known.
    forced_at: Option<Duration>,
}

/// Place of a caller at the lookups of a secret.
pub(crate) enum Joined {
    Running(Arc<Flight>),
    /// The caller has to start it.
    New(Arc<Flight>),
    /// Another lookup ended since the caller looked.
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

    /// Lets `seen` answer callers without a time to live at once, unless it was replaced: its value is announced.
    pub(crate) fn set_quiet(&self, seen: &Arc<CachedLookup>, ttl: Duration) {
        if let (false, Some(secret)) = (seen.is_quiet, seen.secret()) {
            let answer = Answer {
                secret: secret.clone(),
                until: seen.quiet_until(ttl),
            };
            let quiet = CachedLookup {
                is_quiet: true,
                ..CachedLookup::clone(seen)
            };
            self.replace(seen, Some(quiet), Some(answer));
        }
    }

    /// Stops `seen` from answering at once: another source has taken its place.
    pub(crate) fn set_loud(&self, seen: &Arc<CachedLookup>) {
        if seen.is_quiet {
            let loud = CachedLookup::new(seen.value.clone(), seen.failure.clone());
            self.replace(seen, Some(loud), None);
        }
    }

    /// Replaces what is known, unless it is not what was seen any more. Returns whether it was.
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

    /// Replaces what is known whatever it is, and returns it.
    fn swap(&self, known: Option<CachedLookup>) -> Option<Arc<CachedLookup>> {
        let (known, mut before) = (known.map(Arc::new), None);
        let change = || {
            before = self.known.swap(known);
            true
        };
        self.ready.replace(change, None);
        before
    }

    /// Joins the lookup under way or begins one. A caller that wants a `fresh` value joins none that was sent already.
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

    /// Begins a lookup whatever is known, or joins the one under way if another was begun so within the interval; `None`
    /// if that one has ended.
    pub(crate) fn join_again(&self, now: Duration, interval: Duration) -> Option<Joined> {
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

    /// Ends a lookup: stores what `learn` makes of what was known before, unless something newer is known. Returns the
    /// outcome, with which the caller lands the flight.
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

    /// Forgets the remote value. What began before is neither stored nor joined; its waiters start over.
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

    /// Forgets a value that nobody may be given any more. Returns whether it did.
    pub(crate) fn expire(&self, now: Duration, ttl: Duration, max_stale: Duration) -> bool {
        let known = self.known.load();
        let Some(value) = known.as_ref().and_then(|known| known.value.as_ref()) else {
            return false;
        };
        let longest = Duration::from_secs(self.longest_ttl.load(Ordering::Relaxed));
        let limit = longest.max(ttl).saturating_add(max_stale);
        let is_old = now.saturating_sub(value.fetched_at) > limit;
        if let Some(known) = known.as_ref().filter(|_| is_old) {
            // the failure stays: it is the reason why there is no younger value
            let failure = known.failure.clone();
            let failed = failure.map(|failure| CachedLookup::new(None, Some(failure)));
            self.replace(known, failed, None);
        }
        is_old
    }

    /// Notes for how long a value may be of use to a caller.
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
