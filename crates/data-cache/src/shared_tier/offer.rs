//! Results for other machines, written in the background.

use std::sync::Arc;

use bytes::Bytes;

use super::frame::Head;
use super::lease::Lease;
use super::lookup::Offer;
use super::places::{Place, Replacement};
use super::stats::count;
use super::store::{MAX_OBJECT_BYTES, Operation};
use super::tier::SharedTier;
use crate::disk::encode;
use crate::key::Key;
use crate::memory::retained_bytes;

/// Maximum number of results that wait to be replaced or removed; beyond it, all shared ones are made unreachable.
const MAX_REPLACED: usize = 4096;

/// Outcome of a write.
enum Written {
    Done,
    /// The result is too large, or has no codec.
    Unfit,
    Failed,
}

impl SharedTier {
    /// Writes a result in the background, if computing took long
    /// enough and there is a free place. Then releases the lease.
    pub(crate) fn offer(
        self: &Arc<Self>,
        key: Key,
        kind: &str,
        offer: Offer,
        lease: Option<Lease>,
    ) {
        self.costs.learn(kind, offer.compute);
        if offer.compute < self.min_compute {
            return;
        }
        let bytes = retained_bytes(&offer.batches);
        let Some(place) = self.place_for(bytes) else {
            count(&self.counters.dropped);
            return;
        };
        let tier = self.clone();
        self.writers.run(move || {
            tier.write(&key, &offer);
            drop(place);
            drop(lease);
        });
    }

    /// Replaces a result without a content id, in the background. If the new one cannot be written, the old one must
    /// not be found any more: it is removed, or else all of them are made unreachable.
    pub(crate) fn replace(self: &Arc<Self>, key: Key, offer: Offer) {
        let bytes = retained_bytes(&offer.batches);
        let replacement = match self.place_for(bytes) {
            Some(place) => Replacement::By(offer, place),
            None => {
                count(&self.counters.dropped);
                if !self.accepts_writes() {
                    return self.require_invalidation();
                }
                Replacement::Nothing
            }
        };
        let mut replacing = self.replacing.lock();
        if let Some(next) = replacing.get_mut(&key) {
            // a replacement that was waiting is dropped after the lock is released
            let _late = next.replace(replacement);
            drop(replacing);
            return;
        }
        if replacing.len() >= MAX_REPLACED {
            drop(replacing);
            return self.require_invalidation();
        }
        replacing.insert(key, None);
        drop(replacing);
        let tier = self.clone();
        self.writers
            .run(move || tier.write_in_turn(key, replacement));
    }

    fn place_for(self: &Arc<Self>, bytes: u64) -> Option<Place> {
        match self.accepts_writes() {
            true => self.places.take(bytes),
            false => None,
        }
    }

    fn write_in_turn(&self, key: Key, first: Replacement) {
        let mut next = Some(first);
        // each one was set while the previous one was written
        while let Some(replacement) = next {
            let is_done = match replacement {
                Replacement::By(offer, _place) => match self.write(&key, &offer) {
                    Written::Done => true,
                    Written::Unfit => self.forget(&key),
                    Written::Failed => false,
                },
                Replacement::Nothing => self.forget(&key),
            };
            if !is_done {
                self.require_invalidation();
            }
            let mut replacing = self.replacing.lock();
            next = replacing.get_mut(&key).and_then(Option::take);
            if next.is_none() {
                replacing.remove(&key);
            }
        }
    }

    fn write(&self, key: &Key, offer: &Offer) -> Written {
        let Some(object) = self.object(key, offer) else {
            count(&self.counters.unfit);
            return Written::Unfit;
        };
        match self.store.put(key, object) {
            Ok(()) => {
                count(&self.counters.written);
                Written::Done
            }
            Err(failure) => {
                count(&self.counters.write_failed);
                self.failed(&failure, Operation::Put);
                Written::Failed
            }
        }
    }

    /// Removes the shared result; returns `true` on success.
    fn forget(&self, key: &Key) -> bool {
        let removed = self.store.forget(key);
        if let Err(failure) = &removed {
            self.failed(failure, Operation::Put);
        }
        removed.is_ok()
    }

    fn object(&self, key: &Key, offer: &Offer) -> Option<Bytes> {
        let encoded = encode(&offer.batches, self.codec).ok()?;
        let head = Head {
            created_at: offer.created_at,
            ttl_seconds: offer.ttl_seconds,
            compute_ms: u64::try_from(offer.compute.as_millis()).unwrap_or(u64::MAX),
            rows: offer.batches.iter().map(|b| b.num_rows() as u64).sum(),
            codec: encoded.format,
        };
        let object = self.seal.close(key, &head, &encoded.bytes)?;
        (object.len() as u64 <= MAX_OBJECT_BYTES).then(|| object.into())
    }
}
