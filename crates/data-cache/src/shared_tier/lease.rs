//! Leases: of machines that miss one result, one computes it.
//!
//! A lease is a note beside the results, made only if there is none. Its holder changes it three times within its time; whoever
//! watches it takes it over once it stayed the same for that time by the watcher's own clock, so that nobody compares clocks. It
//! saves work and protects nothing: two that hold it compute the same result twice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use super::question::Question;
use super::random::random_hex;
use super::stats::count;
use super::store::{Failure, Operation, Seen, Store, Tag};
use super::tier::{READ_LIMIT, SharedTier, Unanswered};
use crate::key::Key;
use crate::pool::Lent;

/// Changes within the time of a lease.
const BEATS: u32 = 3;
/// A lease is not kept for longer; a query runs for ten minutes at most.
const MAX_HELD: Duration = Duration::from_secs(600);
/// Refusals of a lease that nobody has; after one more the store is believed to give none.
const MAX_REFUSALS: u32 = 3;
/// Pauses between two looks at another one's lease.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The duty to compute a result for all machines. Dropped once the result is written, or is not to be.
pub(crate) struct Lease(Arc<Held>);

struct Held {
    name: String,
    owner: String,
    is_dropped: Mutex<bool>,
    dropped: Condvar,
}

impl Drop for Lease {
    fn drop(&mut self) {
        *self.0.is_dropped.lock() = true;
        self.0.dropped.notify_all();
    }
}

impl Held {
    /// Waits until the lease is dropped, at most this long; says if it is.
    fn is_dropped_within(&self, limit: Duration) -> bool {
        let mut is_dropped = self.is_dropped.lock();
        let deadline = Instant::now() + limit;
        while !*is_dropped {
            if self
                .dropped
                .wait_until(&mut is_dropped, deadline)
                .timed_out()
            {
                break;
            }
        }
        *is_dropped
    }
}

/// End of an application.
pub(super) enum Turn {
    /// The lease is this machine's.
    Mine(Lease),
    /// Another machine held it, and let go of it: the result is there, or nobody's.
    Released,
    /// It was not to be had in time, or the store does not answer.
    Alone,
}

/// A machine that wants to compute a result, for all.
pub(super) struct Applicant<'a> {
    tier: &'a Arc<SharedTier>,
    name: String,
    owner: String,
    /// The lease of another one, and the moment since which it is the same.
    watched: Option<(Tag, Instant)>,
    pause: Duration,
    /// Times that the lease was refused though nobody has it.
    refusals: u32,
    /// Until it waits for another machine, the store has this time for all that it is asked.
    answered_by: Option<Instant>,
    /// Its place among those who wait.
    place: Option<Lent>,
}

enum Looked {
    Absent,
    Mine(Tag),
    Others,
}

impl<'a> Applicant<'a> {
    pub(super) fn new(tier: &'a Arc<SharedTier>, key: &Key, answered_by: Instant) -> Self {
        Self {
            tier,
            name: format!("leases/{key}"),
            owner: random_hex(),
            watched: None,
            pause: SHORTEST_PAUSE,
            refusals: 0,
            answered_by: Some(answered_by),
            place: None,
        }
    }

    /// Takes the lease, or waits until its holder lets go of it or dies, while somebody wants the result and until `deadline`.
    pub(super) fn apply(&mut self, deadline: Instant, question: &Question<'_>) -> Turn {
        while (question.is_wanted)() && Instant::now() < deadline {
            let now = self.tier.now();
            let is_over = |since: &Instant| now.duration_since(*since) >= self.tier.lease;
            let expired = match &self.watched {
                Some((_, since)) if !is_over(since) => {
                    if !self.sleep(deadline, question) {
                        return Turn::Alone;
                    }
                    None
                }
                Some((tag, _)) => Some(Some(tag.clone())),
                None => Some(None),
            };
            if let Some(expected) = expired {
                match self.take(expected) {
                    Ok(Some(tag)) => return Turn::Mine(self.hold(tag)),
                    Ok(None) => {}
                    Err(Unanswered) => return Turn::Alone,
                }
            }
            match self.look() {
                // the answer to the first try was lost
                Ok(Looked::Mine(tag)) => return Turn::Mine(self.hold(tag)),
                Ok(Looked::Others) => {}
                Ok(Looked::Absent) if self.watched.take().is_some() => return Turn::Released,
                // a conflict of writes, or its holder was quick
                Ok(Looked::Absent) if self.refusals < MAX_REFUSALS => {
                    self.refusals += 1;
                    return Turn::Released;
                }
                Ok(Looked::Absent) => return Turn::Alone,
                Err(Unanswered) => return Turn::Alone,
            }
        }
        Turn::Alone
    }

    /// Takes a lease that nobody has, or the expected one of another machine; `None` if it is not as expected.
    fn take(&self, expected: Option<Tag>) -> Result<Option<Tag>, Unanswered> {
        let (name, note) = (self.name.clone(), note(&self.owner, 0));
        self.call(Operation::Lease, move |store| {
            store.write_if(&name, note, expected.as_ref())
        })
    }

    fn look(&mut self) -> Result<Looked, Unanswered> {
        let known = self.watched.as_ref().map(|watched| watched.0.clone());
        let name = self.name.clone();
        Ok(
            match self.call(Operation::Look, move |store| {
                store.look(&name, known.as_ref())
            })? {
                Seen::Absent => Looked::Absent,
                Seen::Same => Looked::Others,
                Seen::Found(note, tag) if is_of(&note, &self.owner) => Looked::Mine(tag),
                Seen::Found(_, tag) => {
                    self.watched = Some((tag, self.tier.now()));
                    Looked::Others
                }
            },
        )
    }

    /// Moment by which the store has to answer.
    pub(super) fn answered_by(&self) -> Instant {
        self.answered_by
            .unwrap_or_else(|| Instant::now() + READ_LIMIT)
    }

    fn call<T: Send + 'static>(
        &self,
        operation: Operation,
        work: impl FnOnce(&dyn Store) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Unanswered> {
        self.tier.call(self.answered_by(), operation, work)
    }

    /// Sleeps for longer each time, and not as long as others do. Returns `false` if too many wait.
    fn sleep(&mut self, deadline: Instant, question: &Question<'_>) -> bool {
        if self.place.is_none() {
            self.place = (question.wait)();
            if self.place.is_none() {
                return false;
            }
            self.answered_by = None;
            count(&self.tier.counters.waited);
        }
        let jitter = self.owner.bytes().map(u32::from).sum::<u32>() % 50;
        let left = deadline.saturating_duration_since(Instant::now());
        std::thread::sleep((self.pause * (75 + jitter) / 100).min(left));
        self.pause = (self.pause * 3 / 2).min(LONGEST_PAUSE);
        true
    }

    fn hold(&self, tag: Tag) -> Lease {
        let held = Arc::new(Held {
            name: self.name.clone(),
            owner: self.owner.clone(),
            is_dropped: Mutex::new(false),
            dropped: Condvar::new(),
        });
        count(&self.tier.counters.leases);
        let (kept, tier) = (held.clone(), self.tier.clone());
        self.tier.leases.run(move || keep(&tier, &kept, tag));
        Lease(held)
    }
}

/// Keeps a lease until it is dropped, then removes it. One that is lost is left alone.
fn keep(tier: &Arc<SharedTier>, held: &Held, mut tag: Tag) {
    let pause = tier.lease / BEATS;
    let beats = MAX_HELD.as_millis() / pause.as_millis().max(1);
    for beat in 1..=beats {
        if held.is_dropped_within(pause) {
            return release(tier, &held.name);
        }
        let (name, owner, known) = (held.name.clone(), held.owner.clone(), tag.clone());
        let renewed = tier.call(
            Instant::now() + READ_LIMIT,
            Operation::Lease,
            move |store| {
                if let Some(tag) = store.write_if(&name, note(&owner, beat), Some(&known))? {
                    return Ok(Some(tag));
                }
                // the answer to the first try was lost, or the lease is
                Ok(match store.look(&name, None)? {
                    Seen::Found(note, tag) if is_of(&note, &owner) => Some(tag),
                    _ => None,
                })
            },
        );
        match renewed {
            Ok(Some(renewed)) => tag = renewed,
            Ok(None) => {
                count(&tier.counters.leases_lost);
                let name = &*held.name;
                tracing::debug!(target: "data_cache", name, effect = "another machine computes it too", "shared_lease_lost");
                return;
            }
            // it may be the holder's still, at the next beat
            Err(Unanswered) => {}
        }
    }
}

/// Removes a lease. Others wait for it, so that a store that failed a moment ago is asked too.
fn release(tier: &SharedTier, name: &str) {
    if let Err(failure) = tier.store.remove(name) {
        tier.failed(&failure, Operation::Lease);
    }
}

/// The bytes of a lease: its holder, and a number that makes each write another one.
fn note(owner: &str, beat: u128) -> Bytes {
    format!("{owner} {beat}").into()
}

fn is_of(note: &[u8], owner: &str) -> bool {
    note.strip_prefix(owner.as_bytes())
        .is_some_and(|rest| rest.first() == Some(&b' '))
}
