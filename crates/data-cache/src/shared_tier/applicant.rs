//! Acquisition of a lease: requesting it, and waiting while another machine holds it.
//!
//! A store may serialize requests for one lease (SeaweedFS: one second for each earlier request) while reads
//! are fast. A request that is neither granted nor rejected soon is therefore followed by a read, and
//! abandoned if another machine holds the lease.

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

/// Maximum number of rejections of a lease that no machine holds; after one more, the store is assumed to grant none.
const MAX_REFUSALS: u32 = 3;
/// Time after which a lease that is neither granted nor rejected is read.
const PATIENCE: Duration = Duration::from_millis(250);
/// Pauses between two reads of another machine's lease.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Outcome of an application.
pub(super) enum Turn {
    /// This machine holds the lease.
    Mine(Lease),
    /// Another machine held it and released it: the result is stored, or no machine computes it.
    Released,
    /// The lease was not acquired in time, or the store does not respond.
    Alone,
}

/// A machine that applies for the lease of a result.
pub(super) struct Applicant<'a> {
    tier: &'a Arc<SharedTier>,
    name: String,
    owner: String,
    watched: Option<Watched>,
    /// Request that the store has neither granted nor rejected yet.
    asked: Option<Asked<Option<Tag>>>,
    pause: Duration,
    /// Number of rejections although no machine holds the lease.
    refusals: u32,
    /// Deadline for all responses of the store until this machine waits for another one; `None` after that.
    answered_by: Option<Instant>,
    /// Registration as a waiting thread.
    place: Option<Lent>,
}

/// The lease of another machine, and the time since which it is unchanged.
struct Watched {
    note: Bytes,
    tag: Tag,
    since: Instant,
}

enum Looked {
    Absent,
    Mine(Tag),
    Others,
    /// Its holder released it or died: another machine holds it now.
    Passed,
}

enum Taken {
    Mine(Tag),
    Refused,
    /// Neither granted nor rejected yet.
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

    /// Takes the lease, or waits until its holder releases it or dies, while the result is wanted and until `deadline`.
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
                // the response to the first try was lost, or is late
                Ok(Looked::Mine(tag)) => return Turn::Mine(self.hold(tag)),
                Ok(Looked::Others) => {}
                Ok(Looked::Passed) => return Turn::Released,
                Ok(Looked::Absent) if self.asked.is_some() => {}
                Ok(Looked::Absent) if self.watched.take().is_some() => return Turn::Released,
                // a conflict of writes, or its holder was fast
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

    /// Takes a lease that no machine holds, or the watched lease of another machine.
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

    /// Requests the lease. If it is granted when it is no longer wanted, it is released.
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
                    // a pending write that still succeeds is released, so
                    // its owner must differ from that of the next request
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

    /// Takes the response to the lease request that arrived while a read
    /// got no response. If there is none, the request failed as well.
    fn last_answer(&mut self) -> Result<Looked, Unanswered> {
        let asked = self.asked.take().ok_or(Unanswered)?;
        match asked.answer_within(self.tier, Duration::ZERO)? {
            Some(Some(tag)) => Ok(Looked::Mine(tag)),
            Some(None) | None => Err(Unanswered),
        }
    }

    /// Deadline for the next response of the store.
    pub(super) fn answered_by(&self) -> Instant {
        self.answered_by
            .unwrap_or_else(|| Instant::now() + self.tier.patience)
    }

    /// Sleeps, longer each time and with jitter. Returns `false` if too many threads wait.
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
