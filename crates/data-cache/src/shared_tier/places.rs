//! Places of the results that wait to be written: their number and bytes are bounded.

use std::sync::Arc;

use parking_lot::Mutex;

use super::question::Offer;

/// Writes that wait or run; more are dropped.
const MAX_WRITES: usize = 16;
/// Bytes of the results that wait or are written; more are dropped.
const MAX_WRITE_BYTES: u64 = 64 << 20;

#[derive(Clone, Default)]
pub(super) struct Places(Arc<Mutex<Taken>>);

#[derive(Default)]
struct Taken {
    writes: usize,
    bytes: u64,
}

impl Places {
    pub(super) fn take(&self, bytes: u64) -> Option<Place> {
        let mut taken = self.0.lock();
        if taken.writes >= MAX_WRITES || taken.bytes.saturating_add(bytes) > MAX_WRITE_BYTES {
            return None;
        }
        taken.writes += 1;
        taken.bytes += bytes;
        let places = self.clone();
        Some(Place { places, bytes })
    }
}

/// A place among the writes, left even if the write panics.
pub(super) struct Place {
    places: Places,
    bytes: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock();
        taken.writes -= 1;
        taken.bytes -= self.bytes;
    }
}

/// Fate of the result that others have, since another one was set.
pub(super) enum Replacement {
    /// It is replaced by the one that was set, which has a place.
    By(Offer, Place),
    /// It is removed: there was no place for the one that was set.
    Nothing,
}
