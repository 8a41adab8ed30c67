//! Finding an entry: memory, then files, each checked for freshness.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Cache;
use super::generations::GenerationStamp;
use super::hit::{Hit, Lookup};
use super::inner::Inner;
use crate::disk::{Disk, Found, ReadProblem};
use crate::etag::ContentDigest;
use crate::event::Tier;
use crate::index::Indexed;
use crate::key::{BuildKeyHasher, Key};
use crate::memory::{Entry, Usage};
use crate::params::Params;
use crate::stats::Miss;

/// A creation time further ahead than this is of a clock that went back since.
pub(super) const CLOCK_SLACK_SECONDS: u64 = 5;
/// Time that the removal of a damaged file waits for the directory's lock, so that it is not read and found damaged twice.
const DAMAGED_PATIENCE: Duration = Duration::from_millis(200);
/// Changes by other processes are noticed within this time.
const RECHECK_MILLIS: u64 = 1000;
/// Interval at which the time of last use is written for other processes.
const MARK_MILLIS: u64 = 60_000;

/// Use of an entry whose time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// It is removed.
    Remove,
    /// It is served for this many seconds more.
    ServeFor(u64),
}

impl Cache {
    /// Looks a result up. Everything that goes wrong is a miss.
    pub fn get(&self, sql: &str, params: &Params) -> Option<Hit> {
        self.get_by_key(&self.key(sql, params))
    }

    /// [`get`](Self::get), with the key at hand.
    pub fn get_by_key(&self, key: &Key) -> Option<Hit> {
        let found = self.inner.find(key);
        self.inner.count(&found);
        found.ok()
    }

    /// [`get`](Self::get), with the reason where there is none.
    pub fn look_up(&self, sql: &str, params: &Params) -> Lookup {
        let found = self.inner.find(&self.key(sql, params));
        self.inner.count(&found);
        match found {
            Ok(hit) => Lookup::Hit(hit),
            Err(miss) => Lookup::Miss(miss),
        }
    }
}

impl Inner {
    /// One lookup is one hit or one miss, however many tiers were asked.
    pub(crate) fn count(&self, found: &Result<Hit, Miss>) {
        match found {
            Ok(hit) => self.count_hit(hit),
            // a tier that is not there has nothing
            Err(_) if !self.config.enabled => self.counters.miss(Miss::Disabled),
            Err(miss) => self.counters.miss(*miss),
        }
    }

    pub(crate) fn count_hit(&self, hit: &Hit) {
        let counter = match hit.tier {
            Tier::Memory => &self.counters.memory_hits,
            Tier::Disk => &self.counters.disk_hits,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if hit.is_stale() {
            self.counters.stale.fetch_add(1, Ordering::Relaxed);
        }
        self.counters
            .saved_ms
            .fetch_add(hit.entry.compute_ms, Ordering::Relaxed);
    }

    /// Somebody waits for an answer that another one computes: a miss, though nothing runs for it.
    pub(crate) fn count_coalesced(&self) {
        self.counters.coalesced.fetch_add(1, Ordering::Relaxed);
        let miss = if self.config.enabled {
            Miss::Absent
        } else {
            Miss::Disabled
        };
        self.counters.miss(miss);
    }

    /// Asks both tiers.
    pub(crate) fn find(&self, key: &Key) -> Result<Hit, Miss> {
        self.find_within(key, Overdue::Remove)
    }

    pub(crate) fn find_within(&self, key: &Key, overdue: Overdue) -> Result<Hit, Miss> {
        match self.find_in_memory(key, overdue) {
            Err(Miss::Absent) => self.find_on_disk(key, overdue),
            found => found,
        }
    }

    /// Asks memory alone; reads no data file.
    pub(crate) fn find_in_memory(&self, key: &Key, overdue: Overdue) -> Result<Hit, Miss> {
        if !self.config.enabled {
            return Err(Miss::Disabled);
        }
        self.notice_other_processes();
        let entry = self.memory.get(key).ok_or(Miss::Absent)?;
        let hit = self.fresh(key, &entry, Tier::Memory, overdue)?;
        if !entry.on_disk || self.is_still_there(key, &entry) {
            return Ok(hit);
        }
        self.memory.remove(key);
        self.index.remove(key);
        Err(Miss::Absent)
    }

    /// The counts now, if the hit is still in memory and nobody invalidated what it was found under.
    pub(crate) fn stamp_of_hit(&self, key: &Key, hit: &Hit) -> Option<GenerationStamp> {
        let stamp = self.stamp();
        let is_there = self.memory.get(key)?.id == hit.entry_id();
        let is_current = self.disk.is_none() || stamp.shared == self.generations.seen();
        (is_there && is_current).then_some(stamp)
    }

    /// Asks the files alone.
    pub(crate) fn find_on_disk(&self, key: &Key, overdue: Overdue) -> Result<Hit, Miss> {
        let disk = self.readable_disk().ok_or(Miss::Absent)?;
        let before = self.own_generation();
        match disk.read(key) {
            Ok(found) => {
                let entry = self.entry_of(key, found, before);
                self.fresh(key, &entry, Tier::Disk, overdue)
            }
            Err(ReadProblem::Absent) => Err(Miss::Absent),
            Err(ReadProblem::Io) => Err(Miss::Io),
            Err(ReadProblem::Damaged) => {
                tracing::warn!(target: "data_cache", %key, "damaged_entry_removed");
                self.forget(key, None, DAMAGED_PATIENCE);
                Err(Miss::Corrupt)
            }
        }
    }

    /// Takes what was read into memory, unless somebody invalidated meanwhile.
    fn entry_of(&self, key: &Key, found: Found, before: u64) -> Arc<Entry> {
        let metadata = &found.metadata;
        let used = self.index.usage(key);
        let usage = used.unwrap_or_else(|| Usage::at(self.now_millis()));
        let entry = Arc::new(Entry {
            batches: found.decoded.batches,
            id: metadata.entry_id.clone(),
            created_at: metadata.created_at,
            ttl_seconds: metadata.ttl_seconds,
            compute_ms: metadata.compute_ms,
            on_disk: true,
            checked: AtomicU64::new(self.time.elapsed_millis()),
            usage: usage.clone(),
            digest: ContentDigest::default(),
        });
        let own = self.generations.own();
        if *own == before {
            self.memory.insert(*key, entry.clone());
            self.index.insert(*key, Indexed::of(metadata, usage));
        }
        entry
    }

    fn fresh(
        &self,
        key: &Key,
        entry: &Arc<Entry>,
        tier: Tier,
        overdue: Overdue,
    ) -> Result<Hit, Miss> {
        let millis = self.now_millis();
        let now = millis / 1000;
        let age = now.saturating_sub(entry.created_at);
        let limit = match overdue {
            Overdue::Remove => entry.ttl_seconds,
            Overdue::ServeFor(seconds) => entry.ttl_seconds.saturating_add(seconds),
        };
        if age >= limit || entry.created_at > now + CLOCK_SLACK_SECONDS {
            // an expired entry may be found in memory, where nobody waits
            self.forget(key, Some(&entry.id), Duration::ZERO);
            self.counters
                .evicted_expired
                .fetch_add(1, Ordering::Relaxed);
            return Err(Miss::Expired);
        }
        entry.usage.touch(millis);
        Ok(Hit {
            entry: entry.clone(),
            tier,
            age: Duration::from_secs(age),
        })
    }

    /// Returns `true` if the file below is still the one that was read; looked at once a second.
    fn is_still_there(&self, key: &Key, entry: &Entry) -> bool {
        let now = self.time.elapsed_millis();
        let checked = entry.checked.load(Ordering::Relaxed);
        if now.saturating_sub(checked) < RECHECK_MILLIS {
            return true;
        }
        let Some(disk) = self.readable_disk() else {
            return false;
        };
        entry.checked.store(now, Ordering::Relaxed);
        let Ok(metadata) = disk.metadata(key) else {
            return false;
        };
        if metadata.entry_id == entry.id && now / MARK_MILLIS != checked / MARK_MILLIS {
            disk.mark_used(&metadata, entry.usage.last.load(Ordering::Relaxed));
        }
        metadata.entry_id == entry.id
    }

    /// Another process invalidated: what is in memory may be meant.
    pub(super) fn notice_other_processes(&self) {
        let Some(disk) = &self.disk else { return };
        if !self
            .generations
            .is_due(self.time.elapsed_millis(), RECHECK_MILLIS)
        {
            return;
        }
        // a count that cannot be read may have moved
        if disk
            .generation()
            .is_none_or(|found| Some(found) != self.generations.seen())
        {
            self.forget_memory(disk);
        }
    }

    fn forget_memory(&self, disk: &Disk) {
        let mut own = self.generations.own_mut();
        let (found, seen) = (disk.generation(), self.generations.seen());
        if found.is_some() && found == seen {
            return;
        }
        *own += 1;
        self.memory.clear();
        let is_gone = found.is_none() && disk.is_gone();
        self.index.retain(|_, entry| entry.bytes > 0 && !is_gone);
        let Some(found) = found else { return };
        match seen {
            // what was invalidated since may lie there again
            Some(seen) if found.went_back_from(seen) => {
                self.disk_health.set_trusted(false);
                if let Some(inner) = self.me.upgrade() {
                    self.workers.run(move || inner.clear_if_went_back());
                }
            }
            _ => {
                self.generations.see(found);
                if let Some(inner) = self.me.upgrade() {
                    self.workers.run(move || inner.follow_other_processes());
                }
            }
        }
    }

    /// Takes entries out of the index that another process removed.
    fn follow_other_processes(&self) {
        let Some(disk) = &self.disk else { return };
        // what is stored from here on is not missing in the list below
        let known: Vec<Key> = self.index.matching(|entry| entry.bytes > 0);
        let there: HashSet<Key, BuildKeyHasher> = disk.keys().into_iter().collect();
        let gone = known.iter().filter(|key| !there.contains(key));
        let removed = gone.map(|key| self.index.remove(key)).count();
        self.counters
            .evicted_invalidated
            .fetch_add(removed as u64, Ordering::Relaxed);
    }

    /// Clears a directory that was replaced by an older copy, and trusts it again.
    pub(super) fn clear_if_went_back(&self) {
        let (Some(disk), Some(seen)) = (&self.disk, self.generations.seen()) else {
            return;
        };
        if disk
            .generation()
            .is_some_and(|found| found.went_back_from(seen))
        {
            tracing::warn!(target: "data_cache", "cache_directory_went_back: it is cleared");
            if let Err(error) = self.remove_where("* (older copy)", true, |_| true) {
                tracing::error!(target: "data_cache", %error, "older_copy_not_cleared: files are not read");
            }
        }
    }

    #[cfg(feature = "testing")]
    pub(super) fn recheck_now(&self) {
        self.generations.look_again();
        self.time.skip_millis(RECHECK_MILLIS);
    }
}
