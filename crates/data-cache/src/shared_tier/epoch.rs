//! Epoch of results without a content id: only those of the current epoch are valid.
//!
//! A note in the bucket holds a random lineage and a count. Both are part of the key of each such result, on every
//! tier, so that everything computed under another lineage or count is unreachable at once, and need not be found and
//! removed. An invalidation increments the count, on the condition that no other machine did so meanwhile. Machines
//! read the note every 2 s; one that has not read it for 30 s neither uses nor stores such results until it does. An
//! invalidation thus takes effect on the machine that made it when the call returns, and on others once they read the
//! note: within 2 s plus a response time, and in any case within 30 s.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use super::random::random_hex;
use super::store::{Failure, Operation, Seen, Store, Tag};
use super::tier::{SharedTier, Unanswered};
use crate::error::Error;

/// Maximum age of the last read of the epoch.
const MAX_BLIND: Duration = Duration::from_secs(30);
/// Number of past lineages that are remembered.
const MAX_PAST: usize = 16;
/// Number of tries of an invalidation while other machines invalidate too.
const BUMPS: usize = 3;
const NOTE: &str = "epoch";

#[derive(Clone, Debug, PartialEq, Eq)]
struct Epoch {
    lineage: String,
    count: u64,
    /// Changes with each invalidation, so that counting never
    /// arrives at an epoch that existed before a copy was restored.
    salt: String,
}

impl Epoch {
    fn first() -> Self {
        Self {
            lineage: random_hex(),
            count: 0,
            salt: random_hex(),
        }
    }

    fn next(&self) -> Self {
        Self {
            lineage: self.lineage.clone(),
            count: self.count.saturating_add(1),
            salt: random_hex(),
        }
    }

    fn text(&self) -> String {
        format!("{} {} {}", self.lineage, self.count, self.salt)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(text).ok()?.split(' ');
        let mut word = || words.next().map(str::to_owned);
        let (lineage, count, salt) = (word()?, word()?.parse().ok()?, word()?);
        Some(Self {
            lineage,
            count,
            salt,
        })
    }
}

/// Current use of results without a content id.
pub(crate) enum Standing {
    /// Shared, under keys that contain this text.
    Epoch(String),
    /// Neither used nor stored.
    Unknown,
    /// Kept on this machine: sharing them is not configured, or the store cannot do it.
    Local,
}

/// The epoch as this machine knows it.
#[derive(Default)]
pub(super) struct Epochs {
    state: Mutex<State>,
    /// Notified when a read has ended.
    looked: Condvar,
    /// Notified when a read is due.
    due: Condvar,
}

#[derive(Default)]
struct State {
    known: Option<(Epoch, Tag)>,
    /// Start of the last read that succeeded.
    seen_at: Option<Instant>,
    /// Number of invalidations that this machine has to write later, and how many of them are done.
    owed: u64,
    paid: u64,
    /// Abandoned lineages. One that reappears comes from an older copy of the bucket.
    past: VecDeque<String>,
    has_looked: bool,
    /// `true` if the store ignores conditions.
    is_refused: bool,
    is_reported: bool,
}

impl State {
    fn is_owed(&self) -> bool {
        self.owed > self.paid
    }

    /// Takes the result of a read that began at `at`, unless a later read found another lineage.
    fn see(&mut self, found: Epoch, tag: Tag, at: Instant) {
        let is_late = self.seen_at.is_some_and(|seen_at| at < seen_at);
        let is_other = |(known, _): &(Epoch, Tag)| known.lineage != found.lineage;
        if !(is_late && self.known.as_ref().is_some_and(is_other)) {
            self.take(found, tag, at);
        }
    }

    /// Takes an epoch that existed after `at`, unless a later count
    /// of its lineage is known, or its lineage was abandoned.
    fn take(&mut self, found: Epoch, tag: Tag, at: Instant) {
        if self.past.contains(&found.lineage) {
            return;
        }
        let left = match &self.known {
            Some((known, _)) if known.lineage == found.lineage => {
                if found.count < known.count {
                    return;
                }
                None
            }
            Some((known, _)) => Some(known.lineage.clone()),
            None => None,
        };
        if let Some(left) = left {
            self.leave(left);
        }
        self.known = Some((found, tag));
        self.seen_at = self.seen_at.max(Some(at));
    }

    /// Records if the store evaluates conditions. After a time in which it ignored them, an invalidation is owed.
    fn judge(&mut self, is_heeded: bool) {
        if self.is_refused && is_heeded {
            self.owed += 1;
        }
        self.is_refused = !is_heeded;
    }

    fn leave(&mut self, lineage: String) {
        self.past.push_front(lineage);
        self.past.truncate(MAX_PAST);
    }
}

impl Epochs {
    /// Returns the current use; waits for the first read, at most `patience`.
    pub(super) fn standing(&self, now: Instant, patience: Duration) -> Standing {
        let mut state = self.state.lock();
        let deadline = Instant::now() + patience;
        while !state.has_looked {
            if self.looked.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        let is_seen = state
            .seen_at
            .is_some_and(|at| now.saturating_duration_since(at) < MAX_BLIND);
        match &state.known {
            _ if state.is_refused => Standing::Local,
            Some((epoch, _)) if is_seen && !state.is_owed() => Standing::Epoch(epoch.text()),
            _ => Standing::Unknown,
        }
    }

    /// Returns lineage and count, if known.
    pub(super) fn text(&self) -> Option<String> {
        let state = self.state.lock();
        state.known.as_ref().map(|(epoch, _)| epoch.text())
    }

    /// Stops the use of shared results until an invalidation is written.
    pub(super) fn owe(&self) {
        self.state.lock().owed += 1;
        self.due.notify_all();
    }

    fn see(&self, found: Epoch, tag: Tag, at: Instant) {
        self.state.lock().see(found, tag, at);
    }

    fn owed(&self) -> u64 {
        self.state.lock().owed
    }

    /// Takes an epoch that is later than the owed invalidations.
    fn pay(&self, written: Epoch, tag: Tag, at: Instant, owed: u64) {
        let mut state = self.state.lock();
        state.take(written, tag, at);
        state.paid = state.paid.max(owed);
    }

    /// Returns `true` if results that were invalidated since may be valid under this epoch.
    fn went_back(&self, found: &Epoch) -> bool {
        let state = self.state.lock();
        let is_before = state
            .known
            .as_ref()
            .is_some_and(|(known, _)| known.lineage == found.lineage && found.count < known.count);
        is_before || state.past.contains(&found.lineage)
    }

    fn pause(&self, interval: Duration) {
        let mut state = self.state.lock();
        self.due.wait_for(&mut state, interval);
    }
}

/// Reads the epoch periodically, for as long as the tier exists.
pub(super) fn follow(tier: &Arc<SharedTier>, interval: Duration) {
    let (tier, epochs) = (Arc::downgrade(tier), tier.epochs.clone());
    let named = std::thread::Builder::new().name("data-cache".to_owned());
    let followed = epochs.clone();
    let spawned = named.spawn(move || {
        while let Some(tier) = Weak::upgrade(&tier) {
            tier.look_at_epoch();
            drop(tier);
            epochs.pause(interval);
        }
    });
    if let Err(error) = spawned {
        tracing::error!(target: "data_cache", %error, effect = "results without a content id are not kept", "shared_epoch_not_followed");
        followed.state.lock().has_looked = true;
    }
}

impl SharedTier {
    /// Reads the epoch once. The thread has nothing else to do, so the store is called even if it failed a moment ago.
    fn look_at_epoch(self: &Arc<Self>) {
        let is_conditional = self.is_conditional(Instant::now() + self.patience);
        if let Some(is_heeded) = is_conditional {
            self.epochs.state.lock().judge(is_heeded);
        }
        // a machine that may not write uses what others write
        let may_look = is_conditional.unwrap_or_else(|| self.writes.are_denied());
        if may_look && let Err(failure) = self.try_look() {
            self.failed(&failure, Operation::Look);
        }
        self.epochs.state.lock().has_looked = true;
        self.epochs.looked.notify_all();
    }

    fn try_look(&self) -> Result<(), Failure> {
        let (known, is_owed) = {
            let state = self.epochs.state.lock();
            (state.known.clone(), state.is_owed())
        };
        let at = self.now();
        let seen = self
            .store
            .look(NOTE, known.as_ref().map(|known| &known.1))?;
        match seen {
            Seen::Same => {
                let mut state = self.epochs.state.lock();
                state.seen_at = state.seen_at.max(Some(at));
            }
            Seen::Absent => self.begin(None, at)?,
            Seen::Found(note, tag) => match self.open_epoch(&note) {
                None => self.refuse_epoch(),
                // an older copy of the bucket was restored
                Some(found) if self.epochs.went_back(&found) => self.begin(Some(&tag), at)?,
                Some(found) => self.epochs.see(found, tag, at),
            },
        }
        if is_owed && !self.writes.are_denied() {
            self.write_bump(&*self.store)?;
        }
        Ok(())
    }

    /// Writes a new lineage. If another machine was first, takes that machine's epoch.
    fn begin(&self, expected: Option<&Tag>, at: Instant) -> Result<(), Failure> {
        if self.writes.are_denied() {
            return Ok(());
        }
        let first = Epoch::first();
        let written = self
            .store
            .write_if(NOTE, self.seal_epoch(&first), expected)?;
        match written {
            Some(tag) => {
                tracing::info!(target: "data_cache", effect = "results without a content id that were shared are out of reach", "shared_epoch_began");
                self.epochs.see(first, tag, at);
            }
            None => match self.store.look(NOTE, None)? {
                Seen::Found(note, tag) => match self.open_epoch(&note) {
                    None => self.refuse_epoch(),
                    // an older copy again: the next read finds it
                    Some(found) if self.epochs.went_back(&found) => {}
                    Some(found) => self.epochs.see(found, tag, at),
                },
                Seen::Absent | Seen::Same => {}
            },
        }
        Ok(())
    }

    /// Makes all results without a content id unreachable on every machine; on this one when the call returns.
    pub(crate) fn invalidate_computed(self: &Arc<Self>) -> Result<(), Error> {
        if matches!(self.standing(), Standing::Local) {
            return Ok(());
        }
        let tier = self.clone();
        let bumped = self.call(
            Instant::now() + self.patience,
            Operation::Epoch,
            move |store| tier.write_bump(store),
        );
        bumped.map_err(|Unanswered| {
            self.epochs.owe();
            Error::io(
                "the bucket did not take the invalidation: other machines may serve what it means until it does; \
                 it is tried again every 2 s, and this machine uses no computed results meanwhile",
            )
        })
    }

    fn write_bump(&self, store: &dyn Store) -> Result<(), Failure> {
        let owed = self.epochs.owed();
        let mut first: Option<Epoch> = None;
        for _ in 0..BUMPS {
            let at = self.now();
            let (next, expected) = match store.look(NOTE, None)? {
                Seen::Found(note, tag) => {
                    let Some(found) = self.open_epoch(&note) else {
                        self.refuse_epoch();
                        return Err(Failure::new("the epoch is not ours"));
                    };
                    // an older copy of the bucket: the counts that follow existed before
                    if self.epochs.went_back(&found) {
                        first.get_or_insert(found);
                        (Epoch::first(), Some(tag))
                    } else if first.as_ref().is_some_and(|first| *first != found) {
                        // another machine invalidated since the first read
                        self.epochs.pay(found, tag, at, owed);
                        return Ok(());
                    } else {
                        (first.insert(found).next(), Some(tag))
                    }
                }
                Seen::Absent | Seen::Same => (Epoch::first(), None),
            };
            let written = store.write_if(NOTE, self.seal_epoch(&next), expected.as_ref())?;
            if let Some(tag) = written {
                self.epochs.pay(next, tag, at, owed);
                return Ok(());
            }
        }
        Err(Failure::new("the epoch is written by too many"))
    }

    fn seal_epoch(&self, epoch: &Epoch) -> Bytes {
        self.seal.close_note(epoch.text().as_bytes()).into()
    }

    fn open_epoch(&self, note: &[u8]) -> Option<Epoch> {
        Epoch::parse(self.seal.open_note(note)?)
    }

    fn refuse_epoch(&self) {
        let mut state = self.epochs.state.lock();
        if let Some((known, _)) = state.known.take() {
            state.leave(known.lineage);
        }
        if !std::mem::replace(&mut state.is_reported, true) {
            tracing::error!(
                target: "data_cache",
                effect = "results without a content id are not kept; remove the object epoch if nobody else uses the prefix",
                "shared_epoch_refused"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_whose_conditions_are_heeded_again_owes_what_was_invalidated_meanwhile() {
        let (mut state, now) = (State::default(), Instant::now());
        state.see(Epoch::first(), Tag("a".to_owned()), now);
        state.has_looked = true;
        let epochs = Epochs {
            state: Mutex::new(state),
            ..Epochs::default()
        };
        epochs.state.lock().judge(true);
        assert!(matches!(
            epochs.standing(now, Duration::ZERO),
            Standing::Epoch(_)
        ));
        epochs.state.lock().judge(false);
        assert!(matches!(
            epochs.standing(now, Duration::ZERO),
            Standing::Local
        ));
        epochs.state.lock().judge(true);
        assert!(matches!(
            epochs.standing(now, Duration::ZERO),
            Standing::Unknown
        ));
        epochs.pay(Epoch::first(), Tag("b".to_owned()), now, epochs.owed());
        epochs.state.lock().judge(true);
        assert!(matches!(
            epochs.standing(now, Duration::ZERO),
            Standing::Epoch(_)
        ));
    }
}
