//! Acquisition of a lease: requesting it, and waiting while another machine holds it.
//!
//! A store may serialize requests for one lease (SeaweedFS: one second for each earlier request) while reads
//! are fast. A request that is neither granted nor rejected soon is therefore followed by a read, and
//! abandoned if another machine holds the lease.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::lease::{Lease, is_of, note, owner};
use super::lookup::LookupRequest;
use super::random::random_hex;
use super::stats::count;
use super::store::{Operation, Seen, Tag};
use super::tier::{PendingCall, SharedTier, Unavailable};
use crate::key::Key;
use crate::pool::Waiting;

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
    pending: Option<PendingCall<Option<Tag>>>,
    pause: Duration,
    /// Number of rejections although no machine holds the lease.
    refusals: u32,
    /// Deadline for all responses of the store until this machine waits for another one; `None` after that.
    response_deadline: Option<Instant>,
    /// Registration as a waiting thread.
    place: Option<Waiting>,
}

/// The lease of another machine, and the time since which it is unchanged.
struct Watched {
    note: Bytes,
    tag: Tag,
    since: Instant,
}

enum LeaseState {
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
    pub(super) fn new(tier: &'a Arc<SharedTier>, key: &Key, response_deadline: Instant) -> Self {
        Self {
            tier,
            name: format!("leases/{key}"),
            owner: random_hex(),
            watched: None,
            pending: None,
            pause: SHORTEST_PAUSE,
            refusals: 0,
            response_deadline: Some(response_deadline),
            place: None,
        }
    }

    /// Takes the lease, or waits until its holder releases it or dies, while the result is wanted and until `deadline`.
    pub(super) fn apply(&mut self, deadline: Instant, lookup: &LookupRequest<'_>) -> Turn {
        while (lookup.is_wanted)() && Instant::now() < deadline {
            let is_over =
                |lease: &Watched| self.tier.now().duration_since(lease.since) >= self.tier.lease;
            if self.watched.as_ref().is_none_or(is_over) {
                match self.take() {
                    Ok(Taken::Mine(tag)) => return Turn::Mine(self.hold(tag)),
                    Ok(Taken::Refused | Taken::Open) => {}
                    Err(Unavailable) => return Turn::Alone,
                }
            } else if !self.sleep(deadline, lookup) {
                return Turn::Alone;
            }
            match self.read_lease() {
                // the response to the first try was lost, or is late
                Ok(LeaseState::Mine(tag)) => return Turn::Mine(self.hold(tag)),
                Ok(LeaseState::Others) => {}
                Ok(LeaseState::Passed) => return Turn::Released,
                Ok(LeaseState::Absent) if self.pending.is_some() => {}
                Ok(LeaseState::Absent) if self.watched.take().is_some() => return Turn::Released,
                // a conflict of writes, or its holder was fast
                Ok(LeaseState::Absent) if self.refusals < MAX_REFUSALS => {
                    self.refusals += 1;
                    return Turn::Released;
                }
                Ok(LeaseState::Absent) => return Turn::Alone,
                Err(Unavailable) => return Turn::Alone,
            }
        }
        Turn::Alone
    }

    /// Takes a lease that no machine holds, or the watched lease of another machine.
    fn take(&mut self) -> Result<Taken, Unavailable> {
        let pending = match self.pending.take() {
            Some(pending) => pending,
            None => self.request()?,
        };
        Ok(match pending.response_within(self.tier, PATIENCE)? {
            Some(Some(tag)) => Taken::Mine(tag),
            Some(None) => Taken::Refused,
            None => {
                self.pending = Some(pending);
                Taken::Open
            }
        })
    }

    /// Requests the lease. If it is granted when it is no longer wanted, it is released.
    fn request(&self) -> Result<PendingCall<Option<Tag>>, Unavailable> {
        let expected = self.watched.as_ref().map(|lease| lease.tag.clone());
        let (name, unwanted) = (self.name.clone(), self.name.clone());
        let note = note(&self.owner, 0);
        self.tier.start_call(
            self.response_deadline(),
            Operation::Lease,
            move |store| store.write_if(&name, note, expected.as_ref()),
            move |store, tag| {
                if tag.is_some() {
                    let _ = store.remove(&unwanted);
                }
            },
        )
    }

    fn read_lease(&mut self) -> Result<LeaseState, Unavailable> {
        let known = self.watched.as_ref().map(|lease| lease.tag.clone());
        let name = self.name.clone();
        let seen = self
            .tier
            .call(self.response_deadline(), Operation::Look, move |store| {
                store.read_note(&name, known.as_ref())
            });
        let Ok(seen) = seen else {
            return self.last_response();
        };
        Ok(match seen {
            Seen::Absent => LeaseState::Absent,
            Seen::Same => LeaseState::Others,
            Seen::Found(note, tag) if is_of(&note, &self.owner) => LeaseState::Mine(tag),
            Seen::Found(note, tag) => {
                if self.pending.take().is_some() {
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
                    true => LeaseState::Others,
                    false => LeaseState::Passed,
                }
            }
        })
    }

    /// Takes the response to the lease request that arrived while a read
    /// got no response. If there is none, the request failed as well.
    fn last_response(&mut self) -> Result<LeaseState, Unavailable> {
        let pending = self.pending.take().ok_or(Unavailable)?;
        match pending.response_within(self.tier, Duration::ZERO)? {
            Some(Some(tag)) => Ok(LeaseState::Mine(tag)),
            Some(None) | None => Err(Unavailable),
        }
    }

    /// Deadline for the next response of the store.
    pub(super) fn response_deadline(&self) -> Instant {
        self.response_deadline
            .unwrap_or_else(|| Instant::now() + self.tier.patience)
    }

    /// Sleeps, longer each time and with jitter. Returns `false` if too many threads wait.
    fn sleep(&mut self, deadline: Instant, lookup: &LookupRequest<'_>) -> bool {
        if self.place.is_none() {
            self.place = (lookup.wait)();
            if self.place.is_none() {
                return false;
            }
            self.response_deadline = None;
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
        Lease::hold(self.tier, name, owner, tag, self.pending.take())
    }
}
