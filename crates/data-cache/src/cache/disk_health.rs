//! Health of the directory as observed by this process.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use super::skip::Skip;
use crate::disk::Which;
use crate::key::{BuildKeyHasher, Key};

/// Pause of writes after the disk was full or failed.
pub(super) const PAUSE_MILLIS: u64 = 30_000;

/// Interval at which a directory without a writable journal is listed for statistics.
const LISTING_MILLIS: u64 = 10_000;

/// Maximum number of files that could not be removed; beyond it, no file is read until the directory is cleared.
const MAX_BLOCKED: usize = 1024;

/// An entry whose file must be removed: its id, if it could be read.
#[derive(Clone)]
pub(super) struct Unremoved(pub(super) Option<String>);

impl Unremoved {
    pub(super) fn which(&self) -> Which<'_> {
        self.0.as_deref().map_or(Which::Any, Which::Id)
    }
}

/// Permissions to read and write files.
#[derive(Default)]
pub(super) struct DiskHealth {
    /// `true` after files could not be removed when required: no file is read any more.
    is_distrusted: AtomicBool,
    /// Keys whose files must be removed before they may be read.
    blocked: Mutex<HashMap<Key, Unremoved, BuildKeyHasher>>,
    /// Time before which no file is written, in milliseconds since 1970.
    paused_until: AtomicU64,
    /// `true` if writes were paused last because the disk was full.
    is_full: AtomicBool,
    /// Time from which the directory may be listed for statistics again, in milliseconds since the cache was opened.
    listing_due: AtomicU64,
    /// Bytes stored since the directory was last swept.
    unswept: AtomicU64,
    /// Bytes in the index that the files did not occupy when they were last listed: a file system that compresses.
    unoccupied: AtomicU64,
    /// Held by the thread that sweeps.
    sweeping: Mutex<()>,
    /// Held by the thread that recreates the count.
    renewing: Mutex<()>,
}

impl DiskHealth {
    pub(super) fn is_trusted(&self) -> bool {
        !self.is_distrusted.load(Ordering::Acquire)
    }

    pub(super) fn set_trusted(&self, trusted: bool) {
        self.is_distrusted.store(!trusted, Ordering::Release);
        if trusted {
            self.blocked.lock().clear();
        }
    }

    /// Records a file that could not be removed; returns `false` if there are too many.
    pub(super) fn block(&self, key: &Key, entry: Unremoved) -> bool {
        let mut blocked = self.blocked.lock();
        let has_room = blocked.len() < MAX_BLOCKED || blocked.contains_key(key);
        if has_room {
            blocked.insert(*key, entry);
        }
        has_room
    }

    /// Records that the file is removed or replaced.
    pub(super) fn unblock(&self, key: &Key) {
        self.blocked.lock().remove(key);
    }

    /// Returns `true` if the file must not be read.
    pub(super) fn is_blocked(&self, key: &Key) -> bool {
        self.blocked.lock().contains_key(key)
    }

    /// Returns the entry whose file must not be read, if any.
    pub(super) fn blocked(&self, key: &Key) -> Option<Unremoved> {
        self.blocked.lock().get(key).cloned()
    }

    /// Returns `true` while writes are paused. A clock that was set back
    /// ends the pause, which would otherwise last until the clock caught up.
    pub(super) fn is_paused(&self, now_millis: u64) -> bool {
        let until = self.paused_until.load(Ordering::Acquire);
        now_millis < until && until - now_millis <= PAUSE_MILLIS
    }

    /// Pauses writes after this failure.
    pub(super) fn pause(&self, now_millis: u64, failure: Skip) {
        self.is_full
            .store(failure == Skip::NoSpace, Ordering::Relaxed);
        let until = now_millis + PAUSE_MILLIS;
        self.paused_until.store(until, Ordering::Release);
    }

    /// Returns the failure after which writes are paused; `None` if they are not.
    pub(super) fn paused_by(&self, now_millis: u64) -> Option<Skip> {
        let is_full = || self.is_full.load(Ordering::Relaxed);
        self.is_paused(now_millis).then(|| match is_full() {
            true => Skip::NoSpace,
            false => Skip::Io,
        })
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

    /// Returns the turn to recreate the count, unless another thread has it, which may wait for the directory lock.
    pub(super) fn try_turn_to_renew(&self) -> Option<MutexGuard<'_, ()>> {
        self.renewing.try_lock()
    }

    pub(super) fn swept(&self) {
        self.unswept.store(0, Ordering::Relaxed);
    }

    pub(super) fn unoccupied(&self) -> u64 {
        self.unoccupied.load(Ordering::Relaxed)
    }

    pub(super) fn set_unoccupied(&self, bytes: u64) {
        self.unoccupied.store(bytes, Ordering::Relaxed);
    }
}
