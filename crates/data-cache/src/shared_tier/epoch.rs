//! The epoch: of results without a content id, those of the present one count.
//!
//! A note in the bucket has a lineage, which is random, and a count. Both are part of the name of each such result, on every
//! tier, so that whatever was computed under another lineage or count is out of reach at once, and nothing has to be found and
//! removed. An invalidation adds one, on the condition that nobody did meanwhile. Machines look at the note every 2 s; one that
//! has not seen it for 30 s uses and keeps no such result until it sees it again. So an invalidation holds on the machine that
//! asked for it when the call returns, on others once they look: within 2 s and the time of an answer, and in any case within
//! 30 s.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use super::random::random_hex;
use super::store::{Failure, Operation, Seen, Store, Tag};
use super::tier::{SharedTier, Unanswered};
use crate::error::Error;

/// A look that is older tells nothing.
const MAX_BLIND: Duration = Duration::from_secs(30);
/// Lineages that are remembered.
const MAX_PAST: usize = 16;
/// Tries of an invalidation, while other machines invalidate too.
const BUMPS: usize = 3;
const NOTE: &str = "epoch";

#[derive(Clone, Debug, PartialEq, Eq)]
struct Epoch {
    lineage: String,
    count: u64,
    /// Another one after each invalidation, so that none counts up to an epoch that was there before a copy was restored.
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

/// Use of results without a content id.
pub(crate) enum Standing {
    /// They are shared, under names with this text.
    Epoch(String),
    /// None is used or kept.
    Unknown,
    /// They stay on this machine: nobody asked for more, or the store cannot.
    Local,
}

/// The epoch as this machine knows it.
#[derive(Default)]
pub(super) struct Epochs {
    state: Mutex<State>,
    /// A look ended.
    looked: Condvar,
    /// A look is due.
    due: Condvar,
}

#[derive(Default)]
struct State {
    known: Option<(Epoch, Tag)>,
    /// Start of the last look that was answered.
    seen_at: Option<Instant>,
    /// Invalidations of this machine that were to be made up for, and how many of them were.
    owed: u64,
    paid: u64,
    /// Lineages that were left. One that comes back is of an older copy of the bucket.
    past: VecDeque<String>,
    has_looked: bool,
    /// The store ignores conditions.
    is_refused: bool,
    is_reported: bool,
}

impl State {
    fn is_owed(&self) -> bool {
        self.owed > self.paid
    }

    /// Takes what a look that began at that moment found, unless more is known by now.
    fn see(&mut self, found: Epoch, tag: Tag, at: Instant) {
        let is_late = self.seen_at.is_some_and(|seen_at| at < seen_at);
        let is_other = |(known, _): &(Epoch, Tag)| known.lineage != found.lineage;
        if !(is_late && self.known.as_ref().is_some_and(is_other)) {
            self.take(found, tag, at);
        }
    }

    /// Takes one that was there after that moment, unless a later one of its lineage is known, or that was left meanwhile.
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

    /// Takes what is known of the store's conditions. What was invalidated while they were ignored is made up for.
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
    /// The state of things; waits for the first look, as long as a lookup may.
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

    /// The lineage and count, if they are known.
    pub(super) fn text(&self) -> Option<String> {
        let state = self.state.lock();
        state.known.as_ref().map(|(epoch, _)| epoch.text())
    }

    /// From here on nothing is used, until an invalidation is written.
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

    /// Takes an epoch that is younger than the invalidations that were owed.
    fn pay(&self, written: Epoch, tag: Tag, at: Instant, owed: u64) {
        let mut state = self.state.lock();
        state.take(written, tag, at);
        state.paid = state.paid.max(owed);
    }

    /// Returns `true` if what was invalidated since may count under this epoch.
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

/// Looks at the epoch for as long as there is the tier.
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
    /// One look. The thread has nothing else to do, so that the store is asked though it failed a moment ago.
    fn look_at_epoch(self: &Arc<Self>) {
        let is_conditional = self.is_conditional(Instant::now() + self.patience);
        if let Some(is_heeded) = is_conditional {
            self.epochs.state.lock().judge(is_heeded);
        }
        // a machine that may not write sees what others write
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
                // somebody put an older copy of the bucket in place
                Some(found) if self.epochs.went_back(&found) => self.begin(Some(&tag), at)?,
                Some(found) => self.epochs.see(found, tag, at),
            },
        }
        if is_owed && !self.writes.are_denied() {
            self.write_bump(&*self.store)?;
        }
        Ok(())
    }

    /// Writes a lineage that nobody has used. Another machine may be first: the next look sees its own.
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
                    // an older copy once more: the next look finds it
                    Some(found) if self.epochs.went_back(&found) => {}
                    Some(found) => self.epochs.see(found, tag, at),
                },
                Seen::Absent | Seen::Same => {}
            },
        }
        Ok(())
    }

    /// Puts all results without a content id out of reach of every machine; on this one when the call returns.
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
                    // an older copy of the bucket: counts behind it were there before
                    if self.epochs.went_back(&found) {
                        first.get_or_insert(found);
                        (Epoch::first(), Some(tag))
                    } else if first.as_ref().is_some_and(|first| *first != found) {
                        // another machine invalidated since this one looked first
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
