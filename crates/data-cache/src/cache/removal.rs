//! Making entries unreachable.

use std::collections::HashSet;
use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use super::Cache;
use super::inner::Inner;
use crate::disk::{Disk, Exclusive, LOCK_LIMIT};
use crate::error::Error;
use crate::failpoint::Step;
use crate::index::{Indexed, Labeled};
use crate::key::{BuildKeyHasher, Key};
use crate::memory::Usage;
use crate::pattern::{Pattern, folded};
use crate::sql;
use crate::stats::Invalidation;

/// An invalidation waits for the directory's lock this long.
const INVALIDATION_LIMIT: Duration = Duration::from_secs(5);

/// The directory's lock, and why other processes do not know of the invalidation, if so.
struct Announced {
    exclusive: Option<Exclusive>,
    failed: Option<io::Error>,
}

impl Cache {
    /// Removes the entries whose SQL text or label matches, in every scope and database; returns how many.
    ///
    /// The pattern is normalized like SQL and matches the whole text, whatever its case: `*` stands for any run, `?`
    /// for one character, everything else for itself.
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
    /// For an empty pattern, and if an entry that matches could still be served, by this process or another one: the
    /// directory is read-only, the disk is full, or another process holds its lock for more than 5 s. This process does
    /// not read files then until a `clear` succeeds.
    pub fn invalidate(&self, pattern: &str) -> Result<usize, Error> {
        let matcher = Pattern::new(pattern)?;
        let matches = |entry: &Labeled| matcher.matches_folded(&folded(&entry.label));
        self.inner.remove_where(pattern, false, matches)
    }

    /// Removes the entries that depend on this table, or could, for all that their SQL text tells; returns how many.
    ///
    /// Results of a warehouse and of `#[cached_query(tables(..))]` know their tables, those behind views included. For
    /// others the table has to be named in the text. The name may be quoted or qualified; its last part counts, in any
    /// case.
    ///
    /// # Errors
    ///
    /// For a text that is no name of a table, and if an entry could still be served.
    pub fn invalidate_table(&self, table: &str) -> Result<usize, Error> {
        let name = sql::table_name(table).ok_or_else(|| {
            Error::input(format!(
                "{table:?} is no name of a table; accepted are orders, main.orders, \"Orders\""
            ))
        })?;
        let pattern = format!("table:{name}");
        self.inner
            .remove_where(&pattern, false, |entry| entry.depends_on(&name))
    }

    /// Removes every entry; returns how many.
    ///
    /// # Errors
    ///
    /// If an entry could still be served, by this process or another one.
    pub fn clear(&self) -> Result<usize, Error> {
        self.inner.remove_where("*", true, |_| true)
    }

    /// The last 100 calls of `invalidate`, `invalidate_table` and `clear` by any process, oldest first.
    pub fn invalidations(&self) -> Vec<Invalidation> {
        match &self.inner.disk {
            Some(disk) => disk.invalidations(),
            None => self.inner.invalidations.all(),
        }
    }
}

impl Inner {
    /// Announces first, so that whatever is being computed is not kept, and deletes then.
    pub(super) fn remove_where(
        &self,
        pattern: &str,
        all: bool,
        matches: impl Fn(&Labeled) -> bool,
    ) -> Result<usize, Error> {
        let mut announced = self.announce();
        // what began before is not stored from here on, neither in memory nor, since the lock is held, in files
        *self.generations.own_mut() += 1;
        if let Some(disk) = &self.disk {
            self.index_unknown(disk);
        }
        let labels = self.index.labels();
        let matching = labels.iter().filter(|entry| matches(entry));
        let mut victims: Vec<Key> = matching.map(|entry| entry.key).collect();
        if let (true, Some(disk)) = (all, &self.disk) {
            // those whose metadata nobody can read, too
            let known: HashSet<Key, BuildKeyHasher> = victims.iter().copied().collect();
            victims.extend(disk.keys().into_iter().filter(|key| !known.contains(key)));
        }
        let mut failed = None;
        if let (Some(disk), Some(exclusive)) = (&self.disk, &announced.exclusive) {
            for key in &victims {
                failed = disk.remove(key, None, exclusive).err().or(failed);
            }
        }
        // who read a file before it was removed takes it into memory before this, or not at all
        *self.generations.own_mut() += 1;
        for key in &victims {
            self.memory.remove(key);
            self.index.remove(key);
        }
        if all {
            self.memory.clear();
        }
        // a full disk may have room now
        if let (Some(_), Some(exclusive)) = (&announced.failed, &announced.exclusive) {
            announced.failed = self.advance(exclusive).err();
        }
        self.trust_disk(all, announced.failed.or(failed))?;
        let removed = Invalidation {
            at: SystemTime::UNIX_EPOCH + Duration::from_millis(self.now_millis()),
            pattern: pattern.to_owned(),
            removed: victims.len(),
        };
        self.log_invalidation(removed, announced.exclusive.as_ref());
        Ok(victims.len())
    }

    /// From here on no process keeps what it began to compute before.
    fn announce(&self) -> Announced {
        let nothing = Announced {
            exclusive: None,
            failed: None,
        };
        let Some(disk) = &self.disk else {
            return nothing;
        };
        match disk.exclusive(INVALIDATION_LIMIT) {
            Ok(exclusive) => Announced {
                failed: self.advance(&exclusive).err(),
                exclusive: Some(exclusive),
            },
            // a directory that is gone holds nothing
            Err(_) if disk.is_gone() => nothing,
            Err(error) => Announced {
                exclusive: None,
                failed: Some(error),
            },
        }
    }

    fn advance(&self, exclusive: &Exclusive) -> io::Result<()> {
        let before = exclusive.generation()?;
        let now = exclusive.advance()?;
        if self.generations.see(now) != Some(before) {
            // somebody else invalidated as well, and it went unnoticed so far
            self.memory.clear();
        }
        let _ = self.failpoints.at(Step::InvalidationAnnounced);
        Ok(())
    }

    /// Files that could not be removed, or whose removal other processes do not know of, are not read any more, until a
    /// `clear` succeeds.
    fn trust_disk(&self, all: bool, failed: Option<io::Error>) -> Result<(), Error> {
        match failed {
            Some(error) => {
                tracing::error!(target: "data_cache", %error, "entries_not_removed: files are not read until a clear succeeds");
                self.disk_health.set_trusted(false);
                Err(Error::io(format!(
                    "entries could not be removed, and other processes may serve them: {error}"
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

    fn log_invalidation(&self, removed: Invalidation, exclusive: Option<&Exclusive>) {
        self.counters
            .evicted_invalidated
            .fetch_add(removed.removed as u64, Ordering::Relaxed);
        tracing::info!(target: "data_cache", pattern = removed.pattern, removed = removed.removed, "cache_invalidated");
        if let (Some(disk), Some(exclusive)) = (&self.disk, exclusive)
            && let Err(error) = disk.log_invalidation(&removed, exclusive)
        {
            tracing::warn!(target: "data_cache", %error, "invalidation_not_written_down");
        }
        self.invalidations.push(removed);
    }

    /// Removes one entry; with an id, only if it is still that one. Its files stay if somebody else holds the lock of the
    /// directory for longer than `patience`: they are found out again.
    pub(super) fn forget(&self, key: &Key, entry_id: Option<&str>, patience: Duration) {
        self.memory.remove(key);
        self.index.remove(key);
        if let Some(disk) = &self.disk
            && let Ok(exclusive) = disk.exclusive(patience)
            && let Err(error) = disk.remove(key, entry_id, &exclusive)
        {
            tracing::debug!(target: "data_cache", %error, "entry_not_removed");
        }
    }

    /// Reads the files of earlier runs into the index, once.
    pub(super) fn index_files(&self) {
        let mut indexed = self.indexed.lock();
        if *indexed {
            return;
        }
        if let Some(disk) = &self.disk {
            for key in disk.keys() {
                // nobody removes it between the look at it and the note of it
                let _own = self.generations.own();
                self.index_one(disk, &key);
            }
            if let Ok(exclusive) = disk.exclusive(LOCK_LIMIT) {
                disk.remove_orphans(&exclusive);
            }
        }
        *indexed = true;
        drop(indexed);
        self.sweep_if_due(0);
    }

    /// Reads the metadata of what other processes stored.
    fn index_unknown(&self, disk: &Disk) {
        let keys = disk.keys_since(&mut self.folder_times.lock());
        for key in keys {
            self.index_one(disk, &key);
        }
    }

    fn index_one(&self, disk: &Disk, key: &Key) {
        if self.index.contains(key) {
            return;
        }
        if let Ok(metadata) = disk.metadata(key) {
            let usage = Usage::at(disk.last_used(&metadata));
            self.index.insert(*key, Indexed::of(&metadata, usage));
        }
    }
}
