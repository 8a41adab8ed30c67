//! Recomputation of stale results while they are served.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

use super::inner::Inner;
use super::look_up::Limits;
use crate::disk::{KeyLock, KeyTurn};
use crate::key::{BuildKeyHasher, Key};

/// Keys of the results that this process recomputes.
#[derive(Default)]
pub(super) struct Revalidations(Mutex<HashSet<Key, BuildKeyHasher>>);

/// Duty to recompute one result, until dropped.
pub(crate) struct Revalidation {
    inner: Arc<Inner>,
    key: Key,
    /// Keeps other processes from recomputing the result.
    lock: Option<KeyLock>,
}

impl Inner {
    /// Calls `work` on another thread, unless a process is recomputing the result already, or it is younger than `ttl`
    /// by now. The work runs without a caller's context.
    pub(crate) fn revalidate(
        self: &Arc<Self>,
        key: Key,
        ttl: u64,
        work: impl FnOnce(Revalidation) + Send + 'static,
    ) {
        if !self.revalidations.0.lock().insert(key) {
            return;
        }
        let mut duty = Revalidation {
            inner: self.clone(),
            key,
            lock: None,
        };
        self.workers.run(move || {
            let disk = duty.inner.readable_disk();
            let turn = disk.map(|disk| disk.key_queue(&duty.key)?.try_turn());
            match turn {
                Some(Ok(KeyTurn::Busy | KeyTurn::Ended)) => return,
                Some(Ok(KeyTurn::Mine(lock))) => duty.lock = Some(lock),
                Some(Ok(KeyTurn::NotStored) | Err(_)) | None => {}
            }
            // it may have been recomputed between the lookup and now
            let found = duty.inner.find_within(
                &key,
                Limits {
                    ttl,
                    overdue: u64::MAX,
                },
            );
            if !found.is_ok_and(|hit| !hit.is_stale()) {
                work(duty);
            }
        });
    }
}

impl Drop for Revalidation {
    fn drop(&mut self) {
        self.inner.revalidations.0.lock().remove(&self.key);
    }
}
