//! Invalidation counts: a result is stored only if none changed while it was computed.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::disk::{Disk, Generation};

/// The counts of this process and of all processes.
pub(super) struct Generations {
    /// Count of this process. An invalidation locks it exclusively.
    own: RwLock<u64>,
    /// Number of times that entries were removed from memory; changes under the lock of `own`.
    purges: AtomicU64,
    /// Count of all processes, as last read.
    seen: Mutex<Option<Generation>>,
    /// Start of the last check that ended, in milliseconds since the cache was opened.
    checked_at: AtomicU64,
}

/// The counts at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct GenerationStamp {
    pub(super) own: u64,
    pub(super) shared: Option<Generation>,
}

impl Generations {
    pub(super) fn new(disk: Option<&Disk>) -> Self {
        Self {
            own: RwLock::new(0),
            purges: AtomicU64::new(0),
            seen: Mutex::new(disk.and_then(Disk::generation)),
            checked_at: AtomicU64::new(0),
        }
    }

    pub(super) fn stamp(&self, disk: Option<&Disk>) -> GenerationStamp {
        GenerationStamp {
            own: *self.own.read(),
            shared: disk.and_then(Disk::generation),
        }
    }

    /// Borrows the count; nothing in this process invalidates meanwhile.
    pub(super) fn own(&self) -> RwLockReadGuard<'_, u64> {
        self.own.read()
    }

    /// Borrows the count mutably; nothing in this process stores a result meanwhile.
    pub(super) fn own_mut(&self) -> RwLockWriteGuard<'_, u64> {
        self.own.write()
    }

    /// Prevents results of file reads in progress from being taken into memory.
    pub(super) fn purge(&self) {
        let _own = self.own.write();
        self.purges.fetch_add(1, Ordering::AcqRel);
    }

    /// Number of purges so far.
    pub(super) fn purges(&self) -> u64 {
        self.purges.load(Ordering::Acquire)
    }

    /// Returns a value that changes with each invalidation by this
    /// process and with each purge; compare it while `own` is borrowed.
    pub(super) fn before_read(&self, own: u64) -> (u64, u64) {
        (own, self.purges())
    }

    pub(super) fn seen(&self) -> Option<Generation> {
        *self.seen.lock()
    }

    /// Records the shared count; returns the previous one.
    pub(super) fn record(&self, shared: Generation) -> Option<Generation> {
        self.seen.lock().replace(shared)
    }

    /// Returns `true` unless a check that has ended began in the last `interval` milliseconds: while one thread checks,
    /// others check too.
    pub(super) fn is_due(&self, now: u64, interval: u64) -> bool {
        now.saturating_sub(self.checked_at.load(Ordering::Acquire)) >= interval
    }

    /// Records that a check has ended that began at this time.
    pub(super) fn end_check(&self, begun: u64) {
        self.checked_at.fetch_max(begun, Ordering::Release);
    }

    #[cfg(feature = "testing")]
    pub(super) fn look_again(&self) {
        self.checked_at.store(0, Ordering::Relaxed);
    }
}
