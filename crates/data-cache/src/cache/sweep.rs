//! Keeping the directory within its size: what is expired goes, then what is worth least.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::atomic::Ordering;

use super::inner::Inner;
use crate::disk::{Disk, FileEntry, LOCK_LIMIT, Which};
use crate::key::{BuildKeyHasher, Key};
use crate::memory::waste;

/// Entries that are deleted under one lock.
const BATCH: usize = 64;

impl Inner {
    /// Called after each store. Other processes store too, so that the directory is looked at now and then.
    pub(super) fn sweep_if_due(&self, stored: u64) {
        let Some(disk) = &self.disk else { return };
        let limit = self.config.max_size_mb.saturating_mul(1 << 20);
        let is_due = |unswept: u64| self.index.bytes() > limit || unswept > limit / 16;
        if !is_due(self.disk_health.add_unswept(stored)) {
            return;
        }
        // what another thread frees meanwhile is free for this one too
        let _turn = self.disk_health.turn_to_sweep();
        if is_due(self.disk_health.unswept()) {
            self.disk_health.swept();
            self.sweep(disk, limit);
        }
    }

    fn sweep(&self, disk: &Disk, limit: u64) {
        let entries = disk.entries();
        // what other processes removed is not there any more, nor what memory let go of; files may be newer than the list
        let there: HashSet<Key, BuildKeyHasher> = entries.iter().map(|entry| entry.key).collect();
        self.index.retain(|key, entry| {
            let is_there = there.contains(key)
                || match entry.bytes {
                    0 => self.memory.get(key).is_some(),
                    _ => disk.metadata(key).is_ok(),
                };
            if !is_there {
                self.memory.remove(key);
            }
            is_there
        });
        let mut total: u64 = entries.iter().map(|entry| entry.bytes).sum();
        if total <= limit {
            return;
        }
        let mut victims = Vec::new();
        for (expired, _, entry) in self.in_order(entries) {
            if total <= limit / 10 * 9 {
                break;
            }
            total = total.saturating_sub(entry.bytes);
            victims.push((entry.key, expired));
        }
        for some in victims.chunks(BATCH) {
            self.evict(disk, some);
        }
    }

    /// Expired ones first, then those whose bytes save least time.
    fn in_order(&self, entries: Vec<FileEntry>) -> Vec<(bool, u64, FileEntry)> {
        let (now, now_millis) = (self.now(), self.now_millis());
        let mut ordered: Vec<_> = entries
            .into_iter()
            .map(|entry| {
                let indexed = self.index.get(&entry.key);
                let expired = indexed.as_ref().is_some_and(|i| i.is_expired(now));
                let (used, compute_ms, hits) = indexed.map_or((0, 0, 0), |i| {
                    let used = i.usage.last.load(Ordering::Relaxed);
                    (used, i.compute_ms, i.usage.hits.load(Ordering::Relaxed))
                });
                let used = if used > 0 { used } else { entry.used };
                let idle_ms = now_millis.saturating_sub(used);
                let waste = waste(idle_ms, entry.bytes, compute_ms, hits.saturating_add(1));
                (expired, waste, entry)
            })
            .collect();
        ordered.sort_by_key(|(expired, waste, _)| (Reverse(*expired), Reverse(*waste)));
        ordered
    }

    /// Removes entries, each with whether its time is over, and counts those that this process removed.
    fn evict(&self, disk: &Disk, victims: &[(Key, bool)]) {
        let Ok(exclusive) = disk.exclusive(LOCK_LIMIT) else {
            return;
        };
        for (key, expired) in victims {
            let counter = match expired {
                true => &self.counters.evicted_expired,
                false => &self.counters.evicted_size,
            };
            match disk.remove(key, Which::Any, &exclusive) {
                Ok(removed) => {
                    counter.fetch_add(removed.into(), Ordering::Relaxed);
                }
                Err(error) => {
                    tracing::warn!(target: "data_cache", %error, "entry_not_evicted");
                    return;
                }
            }
            self.take_out(key, None);
        }
    }
}
