//! Computing a stale result anew while it is served.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

use super::inner::Inner;
use super::look_up::Limits;
use crate::disk::{KeyLock, KeyTurn};
use crate::key::{BuildKeyHasher, Key};

/// The keys whose results this process computes anew.
#[derive(Default)]
pub(super) struct Revalidations(Mutex<HashSet<Key, BuildKeyHasher>>);

/// Duty to compute one result anew, until dropped.
pub(crate) struct Revalidation {
    inner: Arc<Inner>,
    key: Key,
    /// Other processes leave it to this one.
    lock: Option<KeyLock>,
}

impl Inner {
    /// Calls `work` on another thread, unless the result is being computed anew already, by any process, or is younger than
    /// `ttl` by now. The work belongs to no caller.
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
            // another one may have done it between the lookup and now
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
