//! Leases: of the machines that miss one result, one computes it.
//!
//! A lease is a note beside the results, created only if there is none. Its holder changes it three times
//! within its duration. A machine that watches it takes it over once it stayed unchanged for that duration
//! by the watcher's own clock, so that clocks are never compared. A lease saves work and protects nothing:
//! two holders compute the same result twice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use super::stats::count;
use super::store::{Operation, Seen, Tag};
use super::tier::{PendingCall, SharedTier, Unavailable};

/// Number of renewals within the duration of a lease.
const RENEWALS: u32 = 3;
/// Maximum time that a lease is held; a query runs for at most ten minutes.
const MAX_HELD: Duration = Duration::from_secs(600);

/// Duty to compute a result for all machines. Dropped once the result is written, or will not be.
pub(crate) struct Lease(Arc<Held>);

struct Held {
    name: String,
    owner: String,
    is_dropped: Mutex<bool>,
    dropped: Condvar,
    /// Response that is pending although the lease was granted; kept so that the lease is not released as unwanted.
    _pending: Option<Mutex<PendingCall<Option<Tag>>>>,
}

impl Lease {
    /// Holds a lease that the store granted; the response to its request may be pending.
    pub(super) fn hold(
        tier: &Arc<SharedTier>,
        name: String,
        owner: String,
        tag: Tag,
        pending: Option<PendingCall<Option<Tag>>>,
    ) -> Self {
        let held = Arc::new(Held {
            name,
            owner,
            is_dropped: Mutex::new(false),
            dropped: Condvar::new(),
            _pending: pending.map(Mutex::new),
        });
        count(&tier.counters.leases);
        let (kept, tier) = (held.clone(), tier.clone());
        let leases = tier.leases.clone();
        leases.run(move || renew_until_dropped(&tier, &kept, tag));
        Self(held)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        *self.0.is_dropped.lock() = true;
        self.0.dropped.notify_all();
    }
}

impl Held {
    /// Waits up to `limit` until the lease is dropped; returns `true` if it is.
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

/// Renews a lease until it is dropped, then removes it. A lost lease is left alone.
fn renew_until_dropped(tier: &Arc<SharedTier>, held: &Held, mut tag: Tag) {
    let pause = tier.lease / RENEWALS;
    let beats = MAX_HELD.as_millis() / pause.as_millis().max(1);
    for beat in 1..=beats {
        if held.is_dropped_within(pause) {
            return release(tier, &held.name);
        }
        let (name, owner, known) = (held.name.clone(), held.owner.clone(), tag.clone());
        let renewed = tier.call(
            Instant::now() + tier.patience,
            Operation::Lease,
            move |store| {
                if let Some(tag) = store.write_if(&name, note(&owner, beat), Some(&known))? {
                    return Ok(Some(tag));
                }
                // either the response to the first try was lost, or the lease was
                Ok(match store.read_note(&name, None)? {
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
                tracing::debug!(target: "data_cache", name, effect = "another machine computes the result too", "shared_lease_lost");
                return;
            }
            // the lease may still be held by this machine: the next beat tries again
            Err(Unavailable) => {}
        }
    }
}

/// Removes a lease. Others wait for that, so the store is called even if it failed a moment ago.
fn release(tier: &SharedTier, name: &str) {
    if let Err(failure) = tier.store.remove(name) {
        tier.failed(&failure, Operation::Lease);
    }
}

/// Returns the bytes of a lease: its holder, and a number that makes each write different.
pub(super) fn note(owner: &str, beat: u128) -> Bytes {
    format!("{owner} {beat}").into()
}

pub(super) fn is_of(note: &[u8], name: &str) -> bool {
    owner(note) == Some(name.as_bytes())
}

/// Returns the holder of a lease; `None` if the bytes are not a lease.
pub(super) fn owner(note: &[u8]) -> Option<&[u8]> {
    let end = note.iter().position(|byte| *byte == b' ')?;
    note.get(..end)
}
