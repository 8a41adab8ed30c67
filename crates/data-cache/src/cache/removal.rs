//! Invalidation of entries.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use super::Cache;
use super::inner::Inner;
use super::pending::Pending;
use super::shown_pattern::shown_pattern;
use crate::disk::{Disk, Exclusive, LOCK_LIMIT, NoMetadata, Order, Which};
use crate::error::Error;
use crate::failpoint::Step;
use crate::index::Indexed;
use crate::key::{BuildKeyHasher, Key};
use crate::memory::Usage;
use crate::pattern::Pattern;
use crate::sql;
use crate::stats::Invalidation;
use crate::target::Target;

/// Maximum time that an invalidation waits for the directory lock.
const INVALIDATION_LIMIT: Duration = Duration::from_secs(5);

/// Maximum number of files removed before an invalidation returns; more are removed in the background.
const FOREGROUND_VICTIMS: usize = 256;
/// Number of entries above which `clear` removes files with unreadable metadata in the background.
const FOREGROUND_ENTRIES: usize = 4096;
/// Number of files removed under one lock.
const BATCH: usize = 64;
/// Maximum pause of background removal, which pauses for as long as it held the directory lock.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);
/// Time after which any process that notices another process's unfinished invalidation removes its files.
const TAKE_OVER_MILLIS: u64 = 5000;

/// The directory lock, the invalidation count, and the error if other processes could not be notified.
struct Announced {
    exclusive: Option<Exclusive>,
    count: Option<u64>,
    failed: Option<io::Error>,
}

impl Cache {
    /// Removes the entries whose SQL text or label matches, in every scope and database; returns their number.
    ///
    /// The pattern is normalized like SQL and must match the whole text, ignoring case: `*` matches any run of
    /// characters, `?` one character, everything else itself.
    ///
    /// ```
    /// # use data_cache::{Cache, Params, arrow::array::{ArrayRef, Int64Array, RecordBatch}};
    /// # let dir = tempfile::tempdir()?;
    /// # let cache = Cache::open(dir.path())?;
    /// # let column: ArrayRef = std::sync::Arc::new(Int64Array::from(vec![1]));
    /// # let batch = RecordBatch::try_from_iter([("id", column)])?;
    /// for sql in ["SELECT * FROM user_stats", "SELECT * FROM orders", "SELECT * FROM orders_archive"] {
    ///     cache.set(sql, &[batch.clone()], &Params::new(), Some(3600))?;
    /// }
    /// // all user-related queries
    /// assert_eq!(cache.invalidate("*user*")?, 1);
    /// // one query
    /// assert_eq!(cache.invalidate("SELECT * FROM orders")?, 1);
    /// assert!(cache.get("SELECT * FROM orders_archive", &Params::new()).is_some());
    /// // the entire cache
    /// assert_eq!(cache.clear()?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Fails for an empty pattern, and if a matching entry could still be served, by this process or another one: the
    /// directory is read-only, the disk is full, or another process holds the directory lock for more than 5 s. This
    /// process then reads no files until a `clear` succeeds.
    pub fn invalidate(&self, pattern: &str) -> Result<usize, Error> {
        let target = Target::Text(Pattern::new(pattern)?);
        self.inner.remove_everywhere(pattern, target)
    }

    /// Removes the entries that depend on this table, or may do so according to their SQL; returns their number.
    ///
    /// Results of a warehouse and of `#[cached_query(tables(..))]` record their tables, including those behind views.
    /// Other results match if their text names the table. The name may be quoted or qualified; only its last part
    /// counts, and case is ignored.
    ///
    /// # Errors
    ///
    /// Fails for an invalid table name, and if an entry could still be served, like [`invalidate`](Self::invalidate).
    pub fn invalidate_table(&self, table: &str) -> Result<usize, Error> {
        let name = sql::table_name(table).ok_or_else(|| {
            Error::input(format!(
                "{table:?} is not a valid table name; expected a name such as orders, main.orders or \"Orders\""
            ))
        })?;
        let pattern = format!("table:{name}");
        self.inner.remove_everywhere(&pattern, Target::Table(name))
    }

    /// Removes all entries; returns their number.
    ///
    /// # Errors
    ///
    /// Fails if an entry could still be served, by this process or another one.
    pub fn clear(&self) -> Result<usize, Error> {
        self.inner.remove_everywhere("*", Target::All)
    }

    /// Returns the last 100 calls of `invalidate`, `invalidate_table` and `clear` by any process, oldest first.
    pub fn invalidations(&self) -> Vec<Invalidation> {
        match &self.inner.disk {
            Some(disk) => disk.invalidations(),
            None => self.inner.invalidations.all(),
        }
    }
}

impl Inner {
    /// Removes the matching entries here, and makes shared results without a content id unreachable.
    fn remove_everywhere(&self, pattern: &str, target: Target) -> Result<usize, Error> {
        let removed = self.remove_where(pattern, target);
        let invalidated = self.invalidate_shared();
        removed.and_then(|removed| invalidated.map(|()| removed))
    }

    /// Announces the invalidation first: from then on no process serves matching entries, and results being computed
    /// are not stored. Removing files afterwards only frees space; many files are removed in the background.
    pub(super) fn remove_where(&self, pattern: &str, target: Target) -> Result<usize, Error> {
        let shown = match &target {
            Target::Text(_) => shown_pattern(pattern),
            Target::Table(_) | Target::All => pattern.into(),
        };
        let mut announced = self.announce(&target);
        let count = {
            let mut own = self.generations.own_mut();
            *own += 1;
            let count = announced.count.unwrap_or(match self.disk {
                Some(_) => u64::MAX,
                None => *own,
            });
            self.pending.push(Pending {
                order: Order {
                    count,
                    target: target.clone(),
                },
                since: self.time.elapsed_millis(),
                is_own: true.into(),
                is_held: true.into(),
            });
            count
        };
        if announced.failed.is_none() {
            announced.exclusive = None;
        }
        let mut is_listed = true;
        if let Some(disk) = &self.disk {
            self.index_files();
            is_listed = self.follow(disk);
        }
        let found = self.index.matching(
            |entry| {
                let is_older = entry.generation < count;
                // a newer result that is only in memory may hide an older file
                (is_older || entry.bytes == 0).then_some(is_older)
            },
            |_, label, tables| target.matches(label, tables),
        );
        let keys = |older| {
            let of_kind = found.iter().filter(move |(_, is_older)| *is_older == older);
            of_kind.map(|(key, _)| *key)
        };
        let mut victims: Vec<Key> = keys(true).collect();
        let is_small = self.index.len() <= FOREGROUND_ENTRIES;
        if let (true, true, Some(disk)) = (target.is_all(), is_small, &self.disk) {
            // including entries with unreadable metadata
            let known: HashSet<Key, BuildKeyHasher> = victims.iter().copied().collect();
            let (keys, listed) = disk.keys();
            is_listed &= listed.is_ok();
            victims.extend(keys.into_iter().filter(|key| !known.contains(key)));
        }
        let removed = victims.len();
        if removed <= FOREGROUND_VICTIMS && self.disk.is_some() {
            victims.extend(keys(false));
        }
        // entries that are not listed now are refused until they are removed
        let is_now = is_listed && removed <= FOREGROUND_VICTIMS;
        let failed = match is_now || announced.count.is_none() {
            true => self.remove_now(&victims, count, &target, &mut announced),
            false => None,
        };
        if !self.pending.is_empty() {
            self.pending.release(count);
            self.remove_pending_later();
        }
        self.trust_disk(target.is_all(), failed)?;
        let removal = Invalidation {
            at: SystemTime::UNIX_EPOCH + Duration::from_millis(self.now_millis()),
            pattern: pattern.to_owned(),
            removed,
        };
        self.log_invalidation(removal, &shown);
        Ok(removed)
    }

    /// Removes the entries of an order on this thread; returns the error if entries could still be served.
    fn remove_now(
        &self,
        victims: &[Key],
        count: u64,
        target: &Target,
        announced: &mut Announced,
    ) -> Option<io::Error> {
        let mut failed = None;
        if let Some(disk) = self.disk.as_ref().filter(|disk| !disk.is_gone()) {
            failed = match &announced.exclusive {
                Some(exclusive) => remove_files(disk, victims, count, exclusive).err(),
                None if announced.failed.is_some() => None,
                None => self.remove_in_batches(disk, victims, count).err(),
            };
        }
        self.drop_from_memory(victims, |generation, _, _| generation < count);
        if target.is_all() {
            self.memory.clear(|entry| entry.generation < count);
        }
        // a disk that was full may have space now
        if let (Some(disk), Some(_), Some(exclusive)) =
            (&self.disk, &announced.failed, announced.exclusive.take())
        {
            announced.failed = self.advance(disk, target, &exclusive).err();
        }
        let is_announced = announced.failed.is_none();
        failed = announced.failed.take().or(failed);
        let is_settled = match &self.disk {
            Some(disk) if failed.is_none() && count < u64::MAX => {
                let settle = || {
                    disk.sync_removed(victims)?;
                    let exclusive = disk.exclusive(LOCK_LIMIT)?;
                    exclusive.settle(count, target.is_all())
                };
                settle().unwrap_or(false)
            }
            // files are no longer read
            Some(_) => count == u64::MAX,
            None => true,
        };
        if is_settled {
            let all = target.is_all() && is_announced;
            self.pending.retain(|pending| {
                let at = pending.order.count;
                at != count && !(all && at < count)
            });
        }
        failed
    }

    fn remove_in_batches(&self, disk: &Disk, keys: &[Key], count: u64) -> io::Result<()> {
        let mut failed = Ok(());
        for keys in keys.chunks(BATCH) {
            let exclusive = disk.exclusive(INVALIDATION_LIMIT)?;
            failed = failed.and(remove_files(disk, keys, count, &exclusive));
        }
        failed
    }

    /// Removes the entries that are still meant from memory and index; returns the number removed from the index. One that
    /// replaced them meanwhile stays, or is listed now: without it, a later invalidation would not find its file.
    fn drop_from_memory(
        &self,
        keys: &[Key],
        is_meant: impl Fn(u64, &str, &[String]) -> bool,
    ) -> u64 {
        let mut dropped = 0;
        // a thread that read a file before its removal has taken it into memory by now, or is refused from here on
        self.generations.purge();
        self.memory.remove_all(keys, |entry| {
            is_meant(entry.generation, &entry.label, &entry.tables)
        });
        for key in keys {
            // locked, so that no thread lists the directory between the look at the file and the removal
            let mut slot = self.index.slot(key);
            let is_outdated =
                |entry: &Indexed| is_meant(entry.generation, &entry.label, &entry.tables);
            if !slot.get().is_some_and(is_outdated) {
                continue;
            }
            let disk = self.disk.as_ref().filter(|disk| disk.may_hold(key));
            match disk.map(|disk| disk.metadata(key)) {
                Some(Ok(found)) if !is_meant(found.generation, &found.label, &found.tables) => {
                    slot.insert(Indexed::of(&found, Usage::at(self.now_millis())));
                }
                // it may be the file of another entry
                Some(Err(NoMetadata::Denied | NoMetadata::Unknown(_))) => {}
                _ => dropped += u64::from(slot.remove()),
            }
        }
        // a lookup that started earlier, and checks the orders after these are dropped, must look again
        self.generations.purge();
        dropped
    }

    /// Removes the entries of pending orders, on another thread.
    pub(super) fn remove_pending_later(&self) {
        let Some(inner) = self.weak_self.upgrade() else {
            return;
        };
        if self.pending.begin() {
            self.workers.run(move || {
                while {
                    let last = inner.remove_pending();
                    inner.pending.end(last)
                } {}
            });
        }
    }

    /// Removes the entries of pending orders: those of this process, and those
    /// whose process seems to have died. Returns the count of the last order.
    fn remove_pending(&self) -> u64 {
        let Some(disk) = &self.disk else { return 0 };
        let now = self.time.elapsed_millis();
        let pending = self.pending.free();
        let Some(last) = pending.iter().map(|p| p.order.count).max() else {
            return 0;
        };
        let refuses = |generation: u64, label: &str, tables: &[String]| {
            let mut orders = pending.iter().map(|pending| &pending.order);
            orders.any(|order| order.refuses(generation, label, tables))
        };
        let victims = self.index.matching(|_| Some(()), refuses);
        let victims: Vec<Key> = victims.into_iter().map(|(key, ())| key).collect();
        let settled = disk.state().map_or(0, |state| state.settled);
        let is_due = |p: &Arc<Pending>| {
            p.order.count > settled
                && (p.is_own.load(Ordering::Relaxed)
                    || now.saturating_sub(p.since) > TAKE_OVER_MILLIS)
        };
        let mut done = settled;
        if pending.iter().any(is_due) {
            let has_all = pending.iter().any(|p| p.order.target.is_all());
            let (files, listed) = self.refused_files(disk, has_all, &refuses);
            let removed = self.remove_refused(disk, &files, &refuses);
            let ended = listed.and(removed).and_then(|()| {
                disk.sync_removed(&files)?;
                disk.exclusive(INVALIDATION_LIMIT)?.settle(last, true)
            });
            let is_news = self.pending.has_newly_failed(ended.is_err());
            match ended {
                Ok(_) => done = last,
                // retried every few seconds, and logged already
                Err(_) if !is_news => {}
                Err(error) => {
                    tracing::warn!(target: "data_cache", %error, effect = "the files remain on the disk but are not served", "invalidated_files_not_removed");
                }
            }
        }
        let dropped = self.drop_from_memory(&victims, refuses);
        // calls of this process count their own removals
        if !pending.iter().any(|p| p.is_own.load(Ordering::Relaxed)) {
            self.counters
                .evicted_invalidated
                .fetch_add(dropped, Ordering::Relaxed);
        }
        self.pending
            .retain(|p| p.order.count > done || p.order.count > last);
        last
    }

    /// Returns the refused entries of the directory, including those missing from the index or unreadable, and an error
    /// if the directory could not be listed completely.
    fn refused_files(
        &self,
        disk: &Disk,
        has_all: bool,
        refuses: &impl Fn(u64, &str, &[String]) -> bool,
    ) -> (Vec<Key>, io::Result<()>) {
        let (mut keys, listed) = disk.keys();
        keys.retain(|key| match self.index.get(key) {
            Some(entry) if entry.bytes > 0 => {
                refuses(entry.generation, &entry.label, &entry.tables)
            }
            _ => match disk.metadata(key) {
                Ok(found) => refuses(found.generation, &found.label, &found.tables),
                Err(NoMetadata::Damaged) => has_all,
                Err(NoMetadata::Absent) => false,
                // undecidable here: `remove_refused` removes them or fails
                Err(NoMetadata::Denied | NoMetadata::Unknown(_)) => true,
            },
        });
        (keys, listed)
    }

    /// Removes as many refused entries as possible; fails in the end unless all are removed.
    fn remove_refused(
        &self,
        disk: &Disk,
        keys: &[Key],
        refuses: &impl Fn(u64, &str, &[String]) -> bool,
    ) -> io::Result<()> {
        let mut failed = Ok(());
        for keys in keys.chunks(BATCH) {
            let began = Instant::now();
            let exclusive = disk.exclusive(INVALIDATION_LIMIT)?;
            for key in keys {
                let is_meant = match disk.metadata(key) {
                    Ok(found) => Ok(refuses(found.generation, &found.label, &found.tables)),
                    Err(NoMetadata::Damaged | NoMetadata::Denied) => Ok(true),
                    Err(NoMetadata::Absent) => Ok(false),
                    Err(NoMetadata::Unknown(code)) => Err(io::Error::from_raw_os_error(code)),
                };
                let removed = is_meant.and_then(|is_meant| match is_meant {
                    true => disk.remove(key, Which::Any, &exclusive).map(drop),
                    false => Ok(()),
                });
                failed = failed.and(removed);
            }
            drop(exclusive);
            // leaves the lock, the disk and a core to threads that callers wait for
            std::thread::sleep(began.elapsed().min(LONGEST_PAUSE));
        }
        failed
    }

    /// Announces an invalidation: from here on no process stores results computed earlier, or serves matching entries.
    fn announce(&self, target: &Target) -> Announced {
        let nothing = Announced {
            exclusive: None,
            count: None,
            failed: None,
        };
        let Some(disk) = &self.disk else {
            return nothing;
        };
        match disk.exclusive(INVALIDATION_LIMIT) {
            Ok(exclusive) => {
                let advanced = self.advance(disk, target, &exclusive);
                Announced {
                    count: advanced.as_ref().ok().copied(),
                    failed: advanced.err(),
                    exclusive: Some(exclusive),
                }
            }
            // a directory that no longer exists holds nothing
            Err(_) if disk.is_gone() => nothing,
            Err(error) => Announced {
                failed: Some(error),
                ..nothing
            },
        }
    }

    fn advance(&self, disk: &Disk, target: &Target, exclusive: &Exclusive) -> io::Result<u64> {
        let (before, now) = disk.announce(target, exclusive)?;
        let seen = self.generations.record(now);
        if seen != Some(before) {
            // another process invalidated too, and this one has not noticed it yet
            let state = exclusive.state()?.at(before);
            let after = seen.filter(|seen| !before.is_rolled_back_from(*seen));
            let is_known = after.is_some_and(|seen| self.load_orders(disk, &state, seen.count()));
            if !is_known {
                self.memory.clear(|_| true);
            }
        }
        let _ = self.failpoints.at(Step::InvalidationAnnounced);
        Ok(now.count())
    }

    /// Stops reading files if some could not be removed or other
    /// processes could not be notified, until a `clear` succeeds.
    fn trust_disk(&self, all: bool, failed: Option<io::Error>) -> Result<(), Error> {
        match failed {
            Some(error) => {
                tracing::error!(target: "data_cache", %error, effect = "files are not read until a clear succeeds", "entries_not_removed");
                self.disk_health.set_trusted(false);
                Err(Error::io(format!(
                    "cannot remove entries, and other processes may serve them: {error}"
                )))
            }
            None => {
                if all {
                    self.disk_health.set_trusted(true);
                }
                Ok(())
            }
        }
    }

    /// Stops reading files and clears the directory; files stored after that are read again.
    pub(super) fn distrust_files(&self) {
        let was_trusted = self.disk_health.is_trusted();
        self.disk_health.set_trusted(false);
        if let (true, Some(inner)) = (was_trusted, self.weak_self.upgrade()) {
            self.workers
                .run(move || inner.clear_distrusted("* (not removed)"));
        }
    }

    /// Clears a directory whose files are not read, and reads files again on success.
    pub(super) fn clear_distrusted(&self, pattern: &str) {
        if let Err(error) = self.remove_where(pattern, Target::All) {
            tracing::error!(target: "data_cache", %error, effect = "files are not read", "cache_directory_not_cleared");
        }
    }

    fn log_invalidation(&self, removed: Invalidation, shown: &str) {
        self.counters
            .evicted_invalidated
            .fetch_add(removed.removed as u64, Ordering::Relaxed);
        tracing::info!(target: "data_cache", pattern = %shown, removed = removed.removed, "cache_invalidated");
        if let Some(disk) = self.disk.as_ref().filter(|disk| !disk.is_gone())
            && let Err(error) = disk
                .exclusive(LOCK_LIMIT)
                .and_then(|exclusive| disk.log_invalidation(&removed, &exclusive))
        {
            tracing::warn!(target: "data_cache", %error, "invalidation_not_recorded");
        }
        self.invalidations.push(removed);
    }

    /// Removes one entry; with an id, only if it still has that id. If the directory lock is held by others for longer
    /// than `patience`, the files stay, stay listed, and are detected again.
    pub(super) fn forget(&self, key: &Key, entry_id: Option<&str>, patience: Duration) -> Removed {
        let mut removed = Removed {
            from_memory: self.remove_entry(key, entry_id),
            from_disk: false,
        };
        let which = entry_id.map_or(Which::Any, Which::Id);
        if let Some(disk) = &self.disk
            && let Ok(exclusive) = disk.exclusive(patience)
        {
            match disk.remove(key, which, &exclusive) {
                Ok(was_there) => removed.from_disk = was_there,
                Err(error) => {
                    tracing::debug!(target: "data_cache", %error, "entry_not_removed");
                }
            }
            // it was listed because of its file
            self.remove_entry(key, entry_id);
        }
        removed
    }
}

/// Places from which an entry was removed.
pub(super) struct Removed {
    /// Memory and index.
    pub(super) from_memory: bool,
    /// The directory.
    pub(super) from_disk: bool,
}

fn remove_files(disk: &Disk, keys: &[Key], count: u64, exclusive: &Exclusive) -> io::Result<()> {
    let mut failed = Ok(());
    for key in keys {
        let removed = disk.remove(key, Which::Before(count), exclusive);
        failed = failed.and(removed.map(drop));
    }
    failed
}
