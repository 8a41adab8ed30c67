//! State of the directory, as far as this process met it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::disk::Which;
use crate::key::{BuildKeyHasher, Key};

/// Writes pause for this long after a full or failing disk.
pub(super) const PAUSE_MILLIS: u64 = 30_000;

/// A directory whose journal cannot be written is listed for statistics this often.
const LISTING_MILLIS: u64 = 10_000;

/// With more files that could not be removed no file is read until the directory is cleared.
const MOST_OWED: usize = 1024;

/// Entry whose file is to be removed: its id, if that could be read.
#[derive(Clone)]
pub(super) struct Owed(pub(super) Option<String>);

impl Owed {
    pub(super) fn which(&self) -> Which<'_> {
        self.0.as_deref().map_or(Which::Any, Which::Id)
    }
}

/// Permission to read files, and to write them.
#[derive(Default)]
pub(super) struct DiskHealth {
    /// Files could not be removed when they had to be: they are not read any more.
    distrusted: AtomicBool,
    /// Files that are to be removed before they may be read.
    owed: Mutex<HashMap<Key, Owed, BuildKeyHasher>>,
    /// No file is written before this moment, in milliseconds since 1970.
    paused_until: AtomicU64,
    /// Moment from which the directory may be listed for statistics again, in milliseconds of the process.
    listing_due: AtomicU64,
    /// Bytes stored since the directory was last swept.
    unswept: AtomicU64,
    /// Held by the thread that sweeps.
    sweeping: Mutex<()>,
    /// Held by the thread that makes the count anew.
    renewing: Mutex<()>,
}

impl DiskHealth {
    pub(super) fn is_trusted(&self) -> bool {
        !self.distrusted.load(Ordering::Acquire)
    }

    pub(super) fn set_trusted(&self, trusted: bool) {
        self.distrusted.store(!trusted, Ordering::Release);
        if trusted {
            self.owed.lock().clear();
        }
    }

    /// Notes a file that could not be removed; returns `false` if there are too many.
    pub(super) fn owe(&self, key: &Key, entry: Owed) -> bool {
        let mut owed = self.owed.lock();
        let has_room = owed.len() < MOST_OWED || owed.contains_key(key);
        if has_room {
            owed.insert(*key, entry);
        }
        has_room
    }

    /// Notes that the file is removed, or replaced.
    pub(super) fn pay(&self, key: &Key) {
        self.owed.lock().remove(key);
    }

    /// Returns `true` if the file must not be read.
    pub(super) fn is_owed(&self, key: &Key) -> bool {
        self.owed.lock().contains_key(key)
    }

    /// The entry whose file must not be read, if there is one.
    pub(super) fn owed(&self, key: &Key) -> Option<Owed> {
        self.owed.lock().get(key).cloned()
    }

    /// A clock that went back meanwhile ends the pause, which would last until it caught up.
    pub(super) fn is_paused(&self, now_millis: u64) -> bool {
        let until = self.paused_until.load(Ordering::Relaxed);
        now_millis < until && until - now_millis <= PAUSE_MILLIS
    }

    pub(super) fn pause(&self, now_millis: u64) {
        let until = now_millis + PAUSE_MILLIS;
        self.paused_until.store(until, Ordering::Relaxed);
    }

    /// Returns `true` at most once in [`LISTING_MILLIS`].
    pub(super) fn is_listing_due(&self, now: u64) -> bool {
        let is_due = now >= self.listing_due.load(Ordering::Relaxed);
        if is_due {
            self.listing_due
                .store(now.saturating_add(LISTING_MILLIS), Ordering::Relaxed);
        }
        is_due
    }

    /// Adds stored bytes; returns those since the last sweep.
    pub(super) fn add_unswept(&self, bytes: u64) -> u64 {
        self.unswept.fetch_add(bytes, Ordering::Relaxed) + bytes
    }

    /// Returns the bytes stored since the last sweep.
    pub(super) fn unswept(&self) -> u64 {
        self.unswept.load(Ordering::Relaxed)
    }

    /// Waits for the turn to sweep.
    pub(super) fn turn_to_sweep(&self) -> MutexGuard<'_, ()> {
        self.sweeping.lock()
    }

    /// The turn to make the count anew, unless another thread does: it waits for the directory's lock.
    pub(super) fn try_turn_to_renew(&self) -> Option<MutexGuard<'_, ()>> {
        self.renewing.try_lock()
    }

    pub(super) fn swept(&self) {
        self.unswept.store(0, Ordering::Relaxed);
    }
}
