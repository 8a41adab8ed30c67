//! Limits the size of the directory: evicts expired entries, then the least valuable ones.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::io;
use std::sync::atomic::Ordering;

use super::inner::Inner;
use crate::disk::{Disk, Exclusive, FileEntry, LOCK_LIMIT, NoMetadata, Which};
use crate::key::{BuildKeyHasher, Key};
use crate::memory::waste;

/// Number of entries deleted under one lock.
const BATCH: usize = 64;

/// Candidate for eviction.
struct Victim {
    entry: FileEntry,
    /// `true` if expired.
    is_expired: bool,
    /// Eviction rank: the higher, the less its bytes are worth.
    waste: u64,
}

impl Inner {
    /// Called after each store. Other processes store too, so the directory
    /// is also listed whenever a sixteenth of the limit was stored.
    pub(super) fn sweep_if_due(&self, stored: u64) {
        let Some(disk) = &self.disk else { return };
        let limit = self.config.max_size_mb.saturating_mul(1 << 20);
        let is_due = |unswept: u64| {
            let occupied = self.index.bytes();
            occupied.saturating_sub(self.disk_health.unoccupied()) > limit || unswept > limit / 16
        };
        if !is_due(self.disk_health.add_unswept(stored)) {
            return;
        }
        // space freed by another thread meanwhile counts
        let _turn = self.disk_health.turn_to_sweep();
        if is_due(self.disk_health.unswept()) {
            self.disk_health.swept();
            self.sweep(disk, limit);
        }
    }

    fn sweep(&self, disk: &Disk, limit: u64) {
        let before = self.index.bytes();
        let (entries, listed) = disk.entries();
        let mut total: u64 = entries.iter().map(|entry| entry.bytes).sum();
        match listed {
            Ok(()) => {
                self.keep_listed(disk, &entries);
                // without files stored since, which are not in the list
                let indexed = self.index.bytes().min(before);
                self.disk_health
                    .set_unoccupied(indexed.saturating_sub(total));
            }
            // entries missing from an incomplete list may exist
            Err(error) => {
                tracing::warn!(target: "data_cache", %error, "cache_directory_not_listed");
            }
        }
        if total <= limit {
            return;
        }
        let enough = limit / 10 * 9;
        let ordered = self.in_order(entries);
        let (mut rest, mut failed) = (ordered.iter(), None);
        while total > enough && rest.len() > 0 {
            let Ok(exclusive) = disk.exclusive(LOCK_LIMIT) else {
                break;
            };
            for victim in rest.by_ref().take(BATCH) {
                match self.evict(disk, victim, &exclusive) {
                    Ok(()) => total = total.saturating_sub(victim.entry.bytes),
                    // others are evicted instead
                    Err(error) => failed = Some(error),
                }
                if total <= enough {
                    break;
                }
            }
        }
        // one log line for all failures: each store may sweep
        if let Some(error) = failed {
            tracing::warn!(target: "data_cache", %error, "entry_not_evicted");
        }
    }

    /// Drops index entries that other processes removed or memory evicted; files may be newer than the list.
    fn keep_listed(&self, disk: &Disk, entries: &[FileEntry]) {
        let there: HashSet<Key, BuildKeyHasher> = entries.iter().map(|entry| entry.key).collect();
        self.index.retain(|key, entry| {
            let is_there = there.contains(key)
                || match entry.bytes {
                    0 => self.memory.get(key).is_some() || disk.may_hold(key),
                    _ => !matches!(
                        disk.metadata(key),
                        Err(NoMetadata::Absent | NoMetadata::Damaged)
                    ),
                };
            if !is_there {
                self.memory.remove(key);
            }
            is_there
        });
    }

    /// Sorts expired entries first, then those whose bytes save least time.
    fn in_order(&self, entries: Vec<FileEntry>) -> Vec<Victim> {
        let (now, now_millis) = (self.now(), self.now_millis());
        let mut ordered: Vec<_> = entries
            .into_iter()
            .map(|entry| {
                let indexed = self.index.get(&entry.key);
                let is_expired = indexed.as_ref().is_some_and(|i| i.is_expired(now));
                let (used, compute_ms, hits) = indexed.map_or((0, 0, 0), |i| {
                    let used = i.usage.last.load(Ordering::Relaxed);
                    (used, i.compute_ms, i.usage.hits.load(Ordering::Relaxed))
                });
                let used = if used > 0 { used } else { entry.used };
                let idle_ms = now_millis.saturating_sub(used);
                let waste = waste(idle_ms, entry.bytes, compute_ms, hits.saturating_add(1));
                Victim {
                    entry,
                    is_expired,
                    waste,
                }
            })
            .collect();
        ordered.sort_by_key(|victim| (Reverse(victim.is_expired), Reverse(victim.waste)));
        ordered
    }

    /// Removes an entry, and counts it if this process removed it. Fails if the entry still exists.
    fn evict(&self, disk: &Disk, victim: &Victim, exclusive: &Exclusive) -> io::Result<()> {
        let key = &victim.entry.key;
        let removed = disk.remove(key, Which::Any, exclusive)?;
        let counter = match victim.is_expired {
            true => &self.counters.evicted_expired,
            false => &self.counters.evicted_size,
        };
        counter.fetch_add(removed.into(), Ordering::Relaxed);
        self.remove_entry(key, None);
        Ok(())
    }
}
