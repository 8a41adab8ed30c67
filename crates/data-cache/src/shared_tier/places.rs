//! Places for the results that wait to be written, limited by number and bytes.

use std::sync::Arc;

use parking_lot::Mutex;

use super::lookup::Offer;

/// Maximum number of writes that wait or run; further ones are dropped.
const MAX_WRITES: usize = 16;
/// Maximum total size of the results that wait or are being written, in bytes; further ones are dropped.
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

/// A place among the writes, freed on drop, also if the write panics.
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

/// Replacement of a shared result after another one was set.
pub(super) enum Replacement {
    /// The result that was set, with its place, replaces the shared one.
    By(Offer, Place),
    /// The shared one is removed, since there was no place for the result that was set.
    Nothing,
}
