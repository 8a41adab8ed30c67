//! Lookup of entries: in memory, then in files, with freshness checks.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Cache;
use super::generations::GenerationStamp;
use super::hit::{Hit, Lookup};
use super::inner::Inner;
use super::pending::Pending;
use super::time::CLOCK_SLACK_SECONDS;
use crate::disk::{DirectoryState, Disk, Found, Order, ReadProblem};
use crate::etag::ContentDigest;
use crate::event::Tier;
use crate::index::Indexed;
use crate::key::Key;
use crate::memory::{Entry, NEVER_CHECKED, Usage};
use crate::params::Params;
use crate::stats::Miss;
use crate::target::Target;

/// Maximum time that the removal of a damaged file waits for the
/// directory lock, so that the file is not read and found damaged twice.
const DAMAGED_PATIENCE: Duration = Duration::from_millis(200);
/// Maximum time until replacements and evictions by other processes are noticed.
const RECHECK_MILLIS: u64 = 1000;
/// Maximum time until invalidations by other processes are noticed.
const NOTICE_MILLIS: u64 = 20;
/// Interval at which the time of last use is written for other processes.
const MARK_MILLIS: u64 = 60_000;

/// Maximum age of an entry that a caller accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Limits {
    /// Seconds accepted by the caller; the TTL of the entry applies if it is shorter.
    pub(crate) ttl: u64,
    /// Seconds after expiry for which the entry is still accepted.
    pub(crate) overdue: u64,
}

impl Limits {
    /// Accepts entries until their own TTL.
    pub(crate) const ENTRY_TTL: Self = Self {
        ttl: u64::MAX,
        overdue: 0,
    };

    /// Accepts entries until `ttl` or their own TTL, whichever is shorter.
    pub(crate) fn within(ttl: u64) -> Self {
        Self { ttl, overdue: 0 }
    }
}

/// A lookup that waits for another one and counts as a hit or a miss as that one does; a miss if it gives up.
pub(crate) struct Awaited {
    inner: Arc<Inner>,
    is_counted: bool,
}

impl Awaited {
    pub(crate) fn hit(mut self, tier: Tier, is_stale: bool, compute_ms: u64) {
        self.is_counted = true;
        self.inner.count_found(tier, is_stale, compute_ms);
    }

    pub(crate) fn miss(mut self, miss: Miss) {
        self.is_counted = true;
        self.inner.count(&Err(miss));
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if !self.is_counted {
            self.inner.count(&Err(Miss::Absent));
        }
    }
}

impl Cache {
    /// Looks up a result. Any failure is a miss.
    pub fn get(&self, sql: &str, params: &Params) -> Option<Hit> {
        let (key, label) = self.key_and_label(sql, params);
        let found = self.inner.find_placed(self.inner.placed(key), &label);
        self.inner.count(&found);
        found.ok()
    }

    /// [`get`](Self::get) with a known key, on this machine only.
    pub fn get_by_key(&self, key: &Key) -> Option<Hit> {
        let found = self.inner.find(&self.inner.placed(*key).key);
        self.inner.count(&found);
        found.ok()
    }

    /// [`get`](Self::get) with the reason for a miss.
    pub fn look_up(&self, sql: &str, params: &Params) -> Lookup {
        let (key, label) = self.key_and_label(sql, params);
        let found = self.inner.find_placed(self.inner.placed(key), &label);
        self.inner.count(&found);
        match found {
            Ok(hit) => Lookup::Hit(hit),
            Err(miss) => Lookup::Miss(miss),
        }
    }
}

impl Inner {
    /// Counts a lookup as one hit or one miss, however many tiers were searched.
    pub(crate) fn count(&self, found: &Result<Hit, Miss>) {
        match found {
            Ok(hit) => self.count_hit(hit),
            // a disabled cache has no tiers: any miss counts as `Disabled`
            Err(_) if !self.config.enabled => self.counters.miss(Miss::Disabled),
            Err(miss) => self.counters.miss(*miss),
        }
    }

    pub(crate) fn count_hit(&self, hit: &Hit) {
        self.count_found(hit.tier, hit.is_stale(), hit.entry.compute_ms);
    }

    fn count_found(&self, tier: Tier, is_stale: bool, compute_ms: u64) {
        let counter = match tier {
            Tier::Memory => &self.counters.memory_hits,
            Tier::Disk => &self.counters.disk_hits,
            Tier::Shared => &self.counters.shared_hits,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if is_stale {
            self.counters.stale.fetch_add(1, Ordering::Relaxed);
        }
        self.counters
            .saved_ms
            .fetch_add(compute_ms, Ordering::Relaxed);
    }

    /// Counts a lookup that waits for another caller's lookup or computation.
    pub(crate) fn await_another(self: &Arc<Self>) -> Awaited {
        self.counters.coalesced.fetch_add(1, Ordering::Relaxed);
        Awaited {
            inner: self.clone(),
            is_counted: false,
        }
    }

    /// Looks in memory and files.
    pub(crate) fn find(&self, key: &Key) -> Result<Hit, Miss> {
        self.find_within(key, Limits::ENTRY_TTL)
    }

    pub(crate) fn find_within(&self, key: &Key, limits: Limits) -> Result<Hit, Miss> {
        match self.find_in_memory(key, limits) {
            Err(miss @ (Miss::Absent | Miss::Expired)) => self.find_in_file(key, limits, miss),
            found => found,
        }
    }

    /// Looks in the files after a miss in memory: another process may have replaced an expired entry.
    pub(super) fn find_in_file(&self, key: &Key, limits: Limits, miss: Miss) -> Result<Hit, Miss> {
        match self.find_on_disk(key, limits) {
            Err(Miss::Absent) => Err(miss),
            found => found,
        }
    }

    /// Looks in memory only; reads no data file.
    pub(crate) fn find_in_memory(&self, key: &Key, limits: Limits) -> Result<Hit, Miss> {
        if !self.config.enabled {
            return Err(Miss::Disabled);
        }
        self.notice_other_processes();
        let entry = loop {
            let purges = self.generations.purges();
            let entry = self.memory.get(key).ok_or(Miss::Absent)?;
            if self.is_refused(&entry) {
                self.memory.remove(key);
                return Err(Miss::Absent);
            }
            if self.generations.purges() == purges {
                break entry;
            }
        };
        let hit = self.fresh(key, &entry, Tier::Memory, limits)?;
        if self.is_still_there(key, &entry) {
            return Ok(hit);
        }
        self.remove_entry(key, Some(&entry.id));
        Err(Miss::Absent)
    }

    /// Returns the current counts if the hit is still in memory and
    /// valid, and no invalidation by another process is unnoticed.
    pub(crate) fn stamp_of_hit(&self, key: &Key, hit: &Hit) -> Option<GenerationStamp> {
        let stamp = self.stamp();
        let entry = self.memory.get(key)?;
        let is_there = entry.id == hit.entry_id() && !self.is_refused(&entry);
        let is_current = self.disk.is_none() || stamp.shared == self.generations.seen();
        (is_there && is_current).then_some(stamp)
    }

    /// Returns `true` if a pending invalidation covers this entry.
    fn is_refused(&self, entry: &Entry) -> bool {
        self.pending
            .refuse(entry.generation, &entry.label, &entry.tables)
    }

    /// Looks in the files only.
    pub(crate) fn find_on_disk(&self, key: &Key, limits: Limits) -> Result<Hit, Miss> {
        let disk = self.readable_disk().ok_or(Miss::Absent)?;
        if self.is_file_refused(disk, key) {
            return Err(Miss::Absent);
        }
        // the index may be outdated: the file decides
        let now = self.now();
        let is_young = self.index.get(key).is_some_and(|known| {
            now.saturating_sub(known.created_at) < limits.ttl.saturating_add(limits.overdue)
        });
        if limits.ttl != u64::MAX && !is_young && self.is_too_old_for_caller(disk, key, limits) {
            return Err(Miss::Expired);
        }
        let mut before = self.before_read();
        let mut read = disk.read(key);
        // an order may have been dropped since the file was read
        while let Ok(found) = &read {
            let metadata = &found.metadata;
            let (label, tables) = (&metadata.label, &metadata.tables);
            if self.pending.refuse(metadata.generation, label, tables) {
                return Err(Miss::Absent);
            }
            if self.generations.purges() == before.1 {
                break;
            }
            before = self.before_read();
            read = disk.read(key);
        }
        match read {
            Ok(found) => {
                let entry = self.entry_of(key, found, before);
                self.fresh(key, &entry, Tier::Disk, limits)
            }
            Err(ReadProblem::Absent | ReadProblem::TooLarge) => Err(Miss::Absent),
            Err(ReadProblem::Io) => Err(Miss::Io),
            Err(ReadProblem::Damaged) => {
                tracing::warn!(target: "data_cache", %key, "damaged_entry_removed");
                self.forget(key, None, DAMAGED_PATIENCE);
                Err(Miss::Corrupt)
            }
        }
    }

    /// Returns `true` if a file is too old for this caller but not expired: its data need not be read.
    fn is_too_old_for_caller(&self, disk: &Disk, key: &Key, limits: Limits) -> bool {
        let Ok(found) = disk.metadata(key) else {
            return false;
        };
        let age = self.now().saturating_sub(found.created_at);
        let is_over = |ttl: u64| age >= ttl.saturating_add(limits.overdue);
        is_over(limits.ttl) && !is_over(found.ttl_seconds)
    }

    fn before_read(&self) -> (u64, u64) {
        let own = self.generations.own();
        self.generations.before_read(*own)
    }

    /// Takes the entry read from a file into memory, unless there was an invalidation meanwhile.
    fn entry_of(&self, key: &Key, found: Found, before: (u64, u64)) -> Arc<Entry> {
        let metadata = &found.metadata;
        let used = self.index.usage(key);
        let usage = used.unwrap_or_else(|| Usage::at(self.now_millis()));
        let indexed = Indexed::of(metadata, usage);
        let (batches, digest) = (found.decoded.batches, ContentDigest::default());
        let now = self.time.elapsed_millis();
        let entry = Arc::new(indexed.with_data(metadata, batches, digest, now));
        let own = self.generations.own();
        if self.generations.before_read(*own) == before {
            self.insert_entry(*key, entry.clone(), indexed);
        }
        entry
    }

    fn fresh(
        &self,
        key: &Key,
        entry: &Arc<Entry>,
        tier: Tier,
        limits: Limits,
    ) -> Result<Hit, Miss> {
        let millis = self.now_millis();
        let now = millis / 1000;
        let age = now.saturating_sub(entry.created_at);
        let is_over = |ttl: u64| age >= ttl.saturating_add(limits.overdue);
        if is_over(entry.ttl_seconds) || entry.created_at > now + CLOCK_SLACK_SECONDS {
            // an expired entry may be found in memory, where lookups must not wait
            let removed = self.forget(key, Some(&entry.id), Duration::ZERO);
            let is_gone = if entry.on_disk {
                removed.from_disk
            } else {
                removed.from_memory
            };
            self.counters
                .evicted_expired
                .fetch_add(is_gone.into(), Ordering::Relaxed);
            return Err(Miss::Expired);
        }
        // other callers may still accept it
        if is_over(limits.ttl) {
            return Err(Miss::Expired);
        }
        entry.usage.touch(millis);
        Ok(Hit {
            entry: entry.clone(),
            ttl: entry.ttl_seconds.min(limits.ttl),
            tier,
            age: Duration::from_secs(age),
        })
    }

    /// Returns `true` if the file of the entry is still the one that was read or, for an entry that is only in memory,
    /// if no newer file exists; checked once a second.
    fn is_still_there(&self, key: &Key, entry: &Entry) -> bool {
        let checked = entry.checked.load(Ordering::Relaxed);
        if self.disk.is_none() || checked == NEVER_CHECKED {
            return true;
        }
        let now = self.time.elapsed_millis();
        if now.saturating_sub(checked) < RECHECK_MILLIS {
            return true;
        }
        let Some(disk) = self.readable_disk() else {
            return !entry.on_disk;
        };
        let is_there = match disk.metadata(key) {
            Err(_) => !entry.on_disk,
            Ok(metadata) if !entry.on_disk => {
                // ids begin with their creation time; a file that was just written has the id of the result in memory
                let put = (metadata.created_at, &*metadata.entry_id);
                let is_older = put <= (entry.created_at, &*entry.id);
                // because of an unreadable file, the result would be recomputed and removed each time
                is_older || disk.is_too_large(&metadata) || self.disk_health.is_blocked(key)
            }
            Ok(metadata) => {
                let is_same = metadata.entry_id == entry.id;
                if is_same && now / MARK_MILLIS != checked / MARK_MILLIS {
                    disk.mark_used(&metadata, entry.usage.last.load(Ordering::Relaxed));
                }
                is_same
            }
        };
        // until it is known, other threads read the file too
        if is_there {
            entry.checked.store(now, Ordering::Relaxed);
        }
        is_there
    }

    /// Checks for invalidations by other processes, which may affect entries in memory.
    pub(super) fn notice_other_processes(&self) {
        let Some(disk) = &self.disk else { return };
        let now = self.time.elapsed_millis();
        if !self.generations.is_due(now, NOTICE_MILLIS) {
            return;
        }
        // a count that cannot be read may have changed
        if disk
            .generation()
            .is_none_or(|found| Some(found) != self.generations.seen())
        {
            self.forget_memory(disk);
        }
        self.generations.end_check(now);
        if self.pending.is_due(self.time.elapsed_millis()) {
            self.remove_pending_later();
        }
    }

    /// Loads invalidations whose files may still exist.
    pub(super) fn load_pending(&self) {
        let Some(disk) = &self.disk else { return };
        let Some(state) = disk.state() else { return };
        self.load_orders(disk, &state, state.settled);
        // the processes that announced them may have died
        self.pending.own_all();
    }

    /// Loads the orders after a count; returns `false` if they cannot be read.
    pub(super) fn load_orders(&self, disk: &Disk, state: &DirectoryState, after: u64) -> bool {
        let known = disk.orders_between(after, state.generation);
        let is_known = known.is_some();
        let orders = known.unwrap_or_else(|| {
            if state.settled < state.generation.count() && !disk.keys().0.is_empty() {
                tracing::warn!(target: "data_cache", effect = "entries older than the unread invalidations are not served", "invalidations_unreadable");
            }
            let count = state.generation.count();
            let everything = Order { count, target: Target::All };
            Vec::from_iter((state.settled < count).then_some(everything))
        });
        for order in orders {
            self.pending.push(Pending {
                // no other process removes the files of orders that cannot be read
                is_own: (!is_known).into(),
                is_held: false.into(),
                since: self.time.elapsed_millis(),
                order,
            });
        }
        is_known
    }

    fn forget_memory(&self, disk: &Disk) {
        let mut own = self.generations.own_mut();
        let (state, seen) = (disk.state(), self.generations.seen());
        let found = state.map(|state| state.generation);
        if found.is_some() && found == seen {
            return;
        }
        *own += 1;
        let is_rolled_back = match (found, seen) {
            (Some(found), Some(seen)) => found.is_rolled_back_from(seen),
            _ => false,
        };
        let is_known = match (&state, seen) {
            (Some(state), Some(seen)) if !is_rolled_back => {
                self.load_orders(disk, state, seen.count())
            }
            _ => false,
        };
        if !is_known {
            self.memory.clear(|_| true);
            if found.is_none() && disk.is_gone() {
                self.index.retain(|_, _| false);
            }
        }
        if is_rolled_back {
            // entries invalidated since the copy was made may be back
            self.disk_health.set_trusted(false);
        } else if let Some(found) = found {
            self.generations.record(found);
        }
        // released first: if no thread can be started, this one does the work
        drop(own);
        let Some(inner) = self.weak_self.upgrade() else {
            return;
        };
        self.workers.run(move || {
            if !is_known {
                inner.unlist_all();
            }
            match (found, is_rolled_back) {
                (None, _) => inner.renew_count(),
                (_, true) => inner.clear_if_rolled_back(),
                (_, false) => inner.follow_other_processes(),
            }
        });
    }

    /// Removes from the index entries that another process removed.
    fn follow_other_processes(&self) {
        let Some(disk) = &self.disk else { return };
        self.remove_pending_later();
        self.follow(disk);
    }

    /// Recreates a damaged count: without a count, nothing stays in memory.
    fn renew_count(&self) {
        if let Some(disk) = self.disk.as_ref().filter(|disk| !disk.is_gone())
            && let Some(_turn) = self.disk_health.try_turn_to_renew()
        {
            self.renew(disk);
            self.remove_pending_later();
        }
    }

    /// Clears a directory that was replaced by an older copy.
    fn clear_if_rolled_back(&self) {
        let (Some(disk), Some(seen)) = (&self.disk, self.generations.seen()) else {
            return;
        };
        if disk
            .generation()
            .is_some_and(|found| found.is_rolled_back_from(seen))
        {
            tracing::warn!(target: "data_cache", effect = "the directory is cleared", "cache_directory_rolled_back");
            self.clear_distrusted("* (older copy)");
        }
    }

    #[cfg(feature = "testing")]
    pub(super) fn recheck_now(&self) {
        self.generations.look_again();
        self.time.skip_millis(RECHECK_MILLIS);
    }
}
