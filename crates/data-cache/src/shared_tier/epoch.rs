//! Epoch of results without a content id: only those of the current epoch are valid.
//!
//! A note in the bucket holds a random lineage, a count and a salt. They are part of the key of each such result, on
//! every tier, so that everything computed under another epoch is unreachable at once, and need not be found and
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
use super::tier::{SharedTier, Unavailable};
use crate::error::Error;

/// Maximum age of the last read of the epoch.
const MAX_EPOCH_AGE: Duration = Duration::from_secs(30);
/// Number of past lineages that are remembered.
const MAX_PAST: usize = 16;
/// Number of tries of an invalidation while other machines invalidate too.
const MAX_TRIES: usize = 3;
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
    read_ended: Condvar,
    /// Notified when a read is due.
    due: Condvar,
}

#[derive(Default)]
struct State {
    known: Option<(Epoch, Tag)>,
    /// Start of the last read that succeeded.
    seen_at: Option<Instant>,
    /// Number of invalidations that this machine has to write later, and how many of them are done.
    required: u64,
    confirmed: u64,
    /// Abandoned lineages. One that reappears comes from an older copy of the bucket.
    past: VecDeque<String>,
    has_read: bool,
    /// `true` if the store ignores conditions.
    is_unconditional: bool,
    is_reported: bool,
}

impl State {
    fn requires_invalidation(&self) -> bool {
        self.required > self.confirmed
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
        let abandoned = match &self.known {
            Some((known, _)) if known.lineage == found.lineage => {
                if found.count < known.count {
                    return;
                }
                None
            }
            Some((known, _)) => Some(known.lineage.clone()),
            None => None,
        };
        if let Some(lineage) = abandoned {
            self.abandon(lineage);
        }
        self.known = Some((found, tag));
        self.seen_at = self.seen_at.max(Some(at));
    }

    /// Records if the store evaluates conditions. After a time in which it ignored them, an invalidation is required.
    fn record_conditions(&mut self, is_conditional: bool) {
        if self.is_unconditional && is_conditional {
            self.required += 1;
        }
        self.is_unconditional = !is_conditional;
    }

    fn abandon(&mut self, lineage: String) {
        self.past.push_front(lineage);
        self.past.truncate(MAX_PAST);
    }
}

impl Epochs {
    /// Returns the current use; waits for the first read, at most `patience`.
    pub(super) fn standing(&self, now: Instant, patience: Duration) -> Standing {
        let mut state = self.state.lock();
        let deadline = Instant::now() + patience;
        while !state.has_read {
            if self.read_ended.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        let is_seen = state
            .seen_at
            .is_some_and(|at| now.saturating_duration_since(at) < MAX_EPOCH_AGE);
        match &state.known {
            _ if state.is_unconditional => Standing::Local,
            Some((epoch, _)) if is_seen && !state.requires_invalidation() => {
                Standing::Epoch(epoch.text())
            }
            _ => Standing::Unknown,
        }
    }

    /// Returns the text of the current epoch, if known.
    pub(super) fn text(&self) -> Option<String> {
        let state = self.state.lock();
        state.known.as_ref().map(|(epoch, _)| epoch.text())
    }

    /// Stops the use of shared results until an invalidation is written.
    pub(super) fn require_invalidation(&self) {
        self.state.lock().required += 1;
        self.due.notify_all();
    }

    fn see(&self, found: Epoch, tag: Tag, at: Instant) {
        self.state.lock().see(found, tag, at);
    }

    fn required(&self) -> u64 {
        self.state.lock().required
    }

    /// Takes an epoch that is later than the required invalidations.
    fn confirm(&self, written: Epoch, tag: Tag, at: Instant, required: u64) {
        let mut state = self.state.lock();
        state.take(written, tag, at);
        state.confirmed = state.confirmed.max(required);
    }

    /// Returns `true` if results that were invalidated since may be valid under this epoch.
    fn is_rolled_back(&self, found: &Epoch) -> bool {
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
            tier.read_epoch();
            drop(tier);
            epochs.pause(interval);
        }
    });
    if let Err(error) = spawned {
        tracing::error!(target: "data_cache", %error, effect = "results without a content id are not stored", "shared_epoch_not_followed");
        followed.state.lock().has_read = true;
    }
}

impl SharedTier {
    /// Reads the epoch once. The thread has nothing else to do, so the store is called even if it failed a moment ago.
    fn read_epoch(self: &Arc<Self>) {
        let is_conditional = self.is_conditional(Instant::now() + self.patience);
        if let Some(is_conditional) = is_conditional {
            self.epochs.state.lock().record_conditions(is_conditional);
        }
        // a machine that may not write uses what others write
        let may_read = is_conditional.unwrap_or_else(|| self.writes.are_denied());
        if may_read && let Err(failure) = self.try_read_epoch() {
            self.failed(&failure, Operation::Look);
        }
        self.epochs.state.lock().has_read = true;
        self.epochs.read_ended.notify_all();
    }

    fn try_read_epoch(&self) -> Result<(), Failure> {
        let (known, requires_invalidation) = {
            let state = self.epochs.state.lock();
            (state.known.clone(), state.requires_invalidation())
        };
        let at = self.now();
        let seen = self
            .store
            .read_note(NOTE, known.as_ref().map(|known| &known.1))?;
        match seen {
            Seen::Same => {
                let mut state = self.epochs.state.lock();
                state.seen_at = state.seen_at.max(Some(at));
            }
            Seen::Absent => self.begin(None, at)?,
            Seen::Found(note, tag) => match self.open_epoch(&note) {
                None => self.refuse_epoch(),
                // an older copy of the bucket was restored
                Some(found) if self.epochs.is_rolled_back(&found) => self.begin(Some(&tag), at)?,
                Some(found) => self.epochs.see(found, tag, at),
            },
        }
        if requires_invalidation && !self.writes.are_denied() {
            self.increment(&*self.store)?;
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
                tracing::info!(target: "data_cache", effect = "results without a content id that were shared before are no longer served", "shared_epoch_began");
                self.epochs.see(first, tag, at);
            }
            None => match self.store.read_note(NOTE, None)? {
                Seen::Found(note, tag) => match self.open_epoch(&note) {
                    None => self.refuse_epoch(),
                    // an older copy again: the next read finds it
                    Some(found) if self.epochs.is_rolled_back(&found) => {}
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
        let incremented = self.call(
            Instant::now() + self.patience,
            Operation::Epoch,
            move |store| tier.increment(store),
        );
        incremented.map_err(|Unavailable| {
            self.epochs.require_invalidation();
            Error::io(
                "the invalidation was not written to the bucket: other machines may serve the invalidated results until it is; \
                 it is retried every 2 s, and until then this machine neither uses nor stores results without a content id",
            )
        })
    }

    fn increment(&self, store: &dyn Store) -> Result<(), Failure> {
        let required = self.epochs.required();
        let mut first: Option<Epoch> = None;
        for _ in 0..MAX_TRIES {
            let at = self.now();
            let (next, expected) = match store.read_note(NOTE, None)? {
                Seen::Found(note, tag) => {
                    let Some(found) = self.open_epoch(&note) else {
                        self.refuse_epoch();
                        return Err(Failure::new("the epoch cannot be verified"));
                    };
                    // an older copy of the bucket: the counts that follow existed before
                    if self.epochs.is_rolled_back(&found) {
                        first.get_or_insert(found);
                        (Epoch::first(), Some(tag))
                    } else if first.as_ref().is_some_and(|first| *first != found) {
                        // another machine invalidated since the first read
                        self.epochs.confirm(found, tag, at, required);
                        return Ok(());
                    } else {
                        (first.insert(found).next(), Some(tag))
                    }
                }
                Seen::Absent | Seen::Same => (Epoch::first(), None),
            };
            let written = store.write_if(NOTE, self.seal_epoch(&next), expected.as_ref())?;
            if let Some(tag) = written {
                self.epochs.confirm(next, tag, at, required);
                return Ok(());
            }
        }
        Err(Failure::new("too many concurrent writers of the epoch"))
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
            state.abandon(known.lineage);
        }
        if !std::mem::replace(&mut state.is_reported, true) {
            tracing::error!(
                target: "data_cache",
                effect = "results without a content id are not stored; remove the object epoch if no other cache uses the prefix",
                "shared_epoch_refused"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditional_writes_that_work_again_require_an_invalidation() {
        let (mut state, now) = (State::default(), Instant::now());
        state.see(Epoch::first(), Tag("a".to_owned()), now);
        state.has_read = true;
        let epochs = Epochs {
            state: Mutex::new(state),
            ..Epochs::default()
        };
        epochs.state.lock().record_conditions(true);
        assert!(matches!(
            epochs.standing(now, Duration::ZERO),
            Standing::Epoch(_)
        ));
        epochs.state.lock().record_conditions(false);
        assert!(matches!(
            epochs.standing(now, Duration::ZERO),
            Standing::Local
        ));
        epochs.state.lock().record_conditions(true);
        assert!(matches!(
            epochs.standing(now, Duration::ZERO),
            Standing::Unknown
        ));
        epochs.confirm(Epoch::first(), Tag("b".to_owned()), now, epochs.required());
        epochs.state.lock().record_conditions(true);
        assert!(matches!(
            epochs.standing(now, Duration::ZERO),
            Standing::Epoch(_)
        ));
    }
}
