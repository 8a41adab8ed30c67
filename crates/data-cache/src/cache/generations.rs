//! Invalidation counts: a result is stored only if none changed while it was computed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

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
    /// Locked during a check.
    checking: Mutex<()>,
}

/// Check of the count of all processes, by one thread. Until it ends it is due for other threads too.
pub(super) struct Check<'a> {
    generations: &'a Generations,
    _lock: MutexGuard<'a, ()>,
    begun: u64,
}

impl Check<'_> {
    pub(super) fn end(self) {
        let checked_at = &self.generations.checked_at;
        checked_at.store(self.begun, Ordering::Release);
    }
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
            checking: Mutex::new(()),
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

    /// Begins a check unless one began in the last `interval` milliseconds. Waits for the check of another thread, and
    /// returns `None` if that takes longer than `interval`.
    pub(super) fn begin_check(&self, now: u64, interval: u64) -> Option<Check<'_>> {
        let is_due = || now.saturating_sub(self.checked_at.load(Ordering::Acquire)) >= interval;
        if !is_due() {
            return None;
        }
        let lock = self
            .checking
            .try_lock_for(Duration::from_millis(interval))?;
        is_due().then_some(Check {
            generations: self,
            _lock: lock,
            begun: now,
        })
    }

    #[cfg(feature = "testing")]
    pub(super) fn look_again(&self) {
        self.checked_at.store(0, Ordering::Relaxed);
    }
}
