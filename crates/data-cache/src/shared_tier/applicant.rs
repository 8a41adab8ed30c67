//! The way to a lease: asking for it, and waiting while another machine has it.
//!
//! A store may let those who want one lease wait for each other (SeaweedFS: a second for each one before), while reads are
//! quick. So one that is neither given nor refused soon is looked at, and whoever sees that another machine has it wants it no more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::lease::{Lease, is_of, note, owner};
use super::question::Question;
use super::random::random_hex;
use super::stats::count;
use super::store::{Operation, Seen, Tag};
use super::tier::{Asked, SharedTier, Unanswered};
use crate::key::Key;
use crate::pool::Lent;

/// Refusals of a lease that nobody has; after one more the store is believed to give none.
const MAX_REFUSALS: u32 = 3;
/// Time after which a lease that is neither given nor refused is looked at.
const PATIENCE: Duration = Duration::from_millis(250);
/// Pauses between two looks at another one's lease.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

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
    watched: Option<Watched>,
    /// The lease that the store neither gave nor refused yet.
    asked: Option<Asked<Option<Tag>>>,
    pause: Duration,
    /// Times that the lease was refused though nobody has it.
    refusals: u32,
    /// Until it waits for another machine, the store has this time for all that it is asked.
    answered_by: Option<Instant>,
    /// Its place among those who wait.
    place: Option<Lent>,
}

/// The lease of another machine, and the moment since which it is the same.
struct Watched {
    note: Bytes,
    tag: Tag,
    since: Instant,
}

enum Looked {
    Absent,
    Mine(Tag),
    Others,
    /// The one that held it let go of it, or died: another one has it now.
    Passed,
}

enum Taken {
    Mine(Tag),
    Refused,
    /// Neither is known yet.
    Open,
}

impl<'a> Applicant<'a> {
    pub(super) fn new(tier: &'a Arc<SharedTier>, key: &Key, answered_by: Instant) -> Self {
        Self {
            tier,
            name: format!("leases/{key}"),
            owner: random_hex(),
            watched: None,
            asked: None,
            pause: SHORTEST_PAUSE,
            refusals: 0,
            answered_by: Some(answered_by),
            place: None,
        }
    }

    /// Takes the lease, or waits until its holder lets go of it or dies, while somebody wants the result and until `deadline`.
    pub(super) fn apply(&mut self, deadline: Instant, question: &Question<'_>) -> Turn {
        while (question.is_wanted)() && Instant::now() < deadline {
            let is_over =
                |lease: &Watched| self.tier.now().duration_since(lease.since) >= self.tier.lease;
            if self.watched.as_ref().is_none_or(is_over) {
                match self.take() {
                    Ok(Taken::Mine(tag)) => return Turn::Mine(self.hold(tag)),
                    Ok(Taken::Refused | Taken::Open) => {}
                    Err(Unanswered) => return Turn::Alone,
                }
            } else if !self.sleep(deadline, question) {
                return Turn::Alone;
            }
            match self.look() {
                // the answer to the first try was lost, or is late
                Ok(Looked::Mine(tag)) => return Turn::Mine(self.hold(tag)),
                Ok(Looked::Others) => {}
                Ok(Looked::Passed) => return Turn::Released,
                Ok(Looked::Absent) if self.asked.is_some() => {}
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

    /// Takes a lease that nobody has, or the one of another machine that is watched.
    fn take(&mut self) -> Result<Taken, Unanswered> {
        let asked = match self.asked.take() {
            Some(asked) => asked,
            None => self.ask()?,
        };
        Ok(match asked.answer_within(self.tier, PATIENCE)? {
            Some(Some(tag)) => Taken::Mine(tag),
            Some(None) => Taken::Refused,
            None => {
                self.asked = Some(asked);
                Taken::Open
            }
        })
    }

    /// Asks for it. If it is given when nobody wants it any more, it is given back.
    fn ask(&self) -> Result<Asked<Option<Tag>>, Unanswered> {
        let expected = self.watched.as_ref().map(|lease| lease.tag.clone());
        let (name, unwanted) = (self.name.clone(), self.name.clone());
        let note = note(&self.owner, 0);
        self.tier.ask(
            self.answered_by(),
            Operation::Lease,
            move |store| store.write_if(&name, note, expected.as_ref()),
            move |store, tag| {
                if tag.is_some() {
                    let _ = store.remove(&unwanted);
                }
            },
        )
    }

    fn look(&mut self) -> Result<Looked, Unanswered> {
        let known = self.watched.as_ref().map(|lease| lease.tag.clone());
        let name = self.name.clone();
        let seen = self
            .tier
            .call(self.answered_by(), Operation::Look, move |store| {
                store.look(&name, known.as_ref())
            });
        let Ok(seen) = seen else {
            return self.last_answer();
        };
        Ok(match seen {
            Seen::Absent => Looked::Absent,
            Seen::Same => Looked::Others,
            Seen::Found(note, tag) if is_of(&note, &self.owner) => Looked::Mine(tag),
            Seen::Found(note, tag) => {
                if self.asked.take().is_some() {
                    // a write under way that still succeeds is given back, so it must not look like the next request's
                    self.owner = random_hex();
                }
                let since = self.tier.now();
                let before = self.watched.replace(Watched {
                    note: note.clone(),
                    tag,
                    since,
                });
                match before.is_none_or(|before| owner(&before.note) == owner(&note)) {
                    true => Looked::Others,
                    false => Looked::Passed,
                }
            }
        })
    }

    /// Takes the answer to the lease that came while a look was not answered. If none came in time, the write failed as well.
    fn last_answer(&mut self) -> Result<Looked, Unanswered> {
        let asked = self.asked.take().ok_or(Unanswered)?;
        match asked.answer_within(self.tier, Duration::ZERO)? {
            Some(Some(tag)) => Ok(Looked::Mine(tag)),
            Some(None) | None => Err(Unanswered),
        }
    }

    /// Moment by which the store has to answer.
    pub(super) fn answered_by(&self) -> Instant {
        self.answered_by
            .unwrap_or_else(|| Instant::now() + self.tier.patience)
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

    fn hold(&mut self, tag: Tag) -> Lease {
        let (name, owner) = (self.name.clone(), self.owner.clone());
        Lease::hold(self.tier, name, owner, tag, self.asked.take())
    }
}
