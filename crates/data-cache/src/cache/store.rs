//! Storing of results.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::array::RecordBatch;

use super::Cache;
use super::disk_health::{PAUSE_MILLIS, Unremoved};
use super::generations::GenerationStamp;
use super::hit::Hit;
use super::inner::Inner;
use super::skip::Skip;
use crate::compact;
use crate::disk::{Disk, Generation, LOCK_LIMIT, Metadata, Which, encode, unique_id};
use crate::error::Error;
use crate::etag::ContentDigest;
use crate::event::Tier;
use crate::index::Indexed;
use crate::key::Key;
use crate::memory::{Entry, NEVER_CHECKED, Usage, retained_bytes};
use crate::params::Params;
use crate::sql::shown_label;

/// Maximum length of SQL text; longer text is an error.
const MAX_SQL_BYTES: usize = 1 << 20;

/// Outcome of storing a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stored {
    /// Stored.
    Kept {
        /// Lowest tier that holds it.
        tier: Tier,
        /// Size of the data file in bytes; 0 if in memory only.
        bytes: u64,
    },
    /// Not stored, for the given reason. If only the file could not be written, memory may hold the result.
    Skipped(Skip),
}

/// A result with its metadata.
pub(crate) struct StoreRequest<'a> {
    pub(crate) key: Key,
    /// Normalized SQL, or `fn:module::name`.
    pub(crate) label: &'a str,
    pub(crate) tables: Vec<String>,
    pub(crate) batches: &'a [RecordBatch],
    pub(crate) ttl: Option<u64>,
    pub(crate) compute: Duration,
    /// Second in which the computation began; `None` if the result was not computed by this call.
    pub(crate) begun: Option<u64>,
    /// Invalidation counts before the computation.
    pub(crate) stamp: GenerationStamp,
    pub(crate) digest: ContentDigest,
    /// Not requested explicitly: a file is written only if computing
    /// took at least three times as long as reading it would.
    pub(crate) is_automatic: bool,
}

impl Cache {
    /// Stores a result for `ttl_seconds`, else for the TTL in `cache.yaml`,
    /// and replaces an older one. A TTL of 0 only removes the older one.
    ///
    /// # Errors
    ///
    /// Fails for invalid arguments: SQL that is empty or longer than 1
    /// MiB, batches with different schemas, a TTL of more than ten years.
    pub fn set(
        &self,
        sql: &str,
        batches: &[RecordBatch],
        params: &Params,
        ttl_seconds: Option<u64>,
    ) -> Result<Stored, Error> {
        let (key, label) = self.key_and_label(sql, params);
        let placed = self.inner.placed(key);
        if !placed.is_storable {
            return Ok(Stored::Skipped(Skip::UnknownEpoch));
        }
        let request = StoreRequest {
            key: placed.key,
            label: &label,
            tables: Vec::new(),
            batches,
            ttl: ttl_seconds,
            compute: Duration::ZERO,
            begun: None,
            stamp: self.inner.stamp(),
            digest: ContentDigest::default(),
            is_automatic: false,
        };
        let stored = self.inner.store(&request)?;
        self.inner.replace_shared(placed, &request, stored);
        Ok(stored)
    }
}

impl Inner {
    pub(crate) fn store(&self, request: &StoreRequest<'_>) -> Result<Stored, Error> {
        self.store_with(request, || ())
    }

    /// Stores a result; calls `early` once it is in memory, before it is written to a file.
    pub(crate) fn store_with(
        &self,
        request: &StoreRequest<'_>,
        early: impl FnOnce(),
    ) -> Result<Stored, Error> {
        let ttl = self.check(request)?;
        let stored = match ttl {
            Err(skip) => {
                if skip != Skip::Disabled {
                    // the next lookup must not return the result that this one was to replace
                    self.remove_replaced(&request.key);
                }
                Stored::Skipped(skip)
            }
            Ok(ttl) => self.store_for(request, ttl, early),
        };
        if let Stored::Skipped(skip) = stored {
            self.counters.not_stored.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(target: "data_cache", reason = %skip, label = %shown_label(request.label), "result_not_stored");
        }
        Ok(stored)
    }

    /// Returns the TTL, or the reason for not storing; fails for the caller's mistakes.
    fn check(&self, request: &StoreRequest<'_>) -> Result<Result<u64, Skip>, Error> {
        if request.label.is_empty() {
            return Err(Error::input("empty SQL"));
        }
        if request.label.len() > MAX_SQL_BYTES {
            return Err(Error::input(format!(
                "SQL: {} bytes exceed the limit of {MAX_SQL_BYTES}",
                request.label.len()
            )));
        }
        let ttl = self.ttls.effective(request.ttl, request.label)?;
        let Some(first) = request.batches.first() else {
            return Ok(Err(Skip::NoSchema));
        };
        if let Some(other) = request
            .batches
            .iter()
            .find(|b| b.schema() != first.schema())
        {
            return Err(Error::input(format!(
                "the batches of one result have different schemas: {} and {}",
                first.schema(),
                other.schema()
            )));
        }
        Ok(match ttl {
            _ if !self.config.enabled => Err(Skip::Disabled),
            0 => Err(Skip::ZeroTtl),
            ttl => Ok(ttl),
        })
    }

    fn store_for(&self, request: &StoreRequest<'_>, ttl: u64, early: impl FnOnce()) -> Stored {
        let ttl = match request.begun {
            // callers with a shorter TTL check the age, so the TTL of other callers is not shortened
            Some(_) => ttl.max(self.living_ttl(&request.key)),
            None => ttl,
        };
        self.keep(request, self.metadata_of(request, ttl), early)
    }

    /// Returns the TTL of the existing entry if it is unexpired and may be served, else 0.
    pub(super) fn living_ttl(&self, key: &Key) -> u64 {
        let known = self.index.get(key).or_else(|| {
            let disk = self.readable_disk().filter(|disk| disk.may_hold(key))?;
            let found = disk.metadata(key).ok()?;
            Some(Indexed::of(&found, Usage::at(0)))
        });
        let now = self.now();
        let may_be_served = |entry: &Indexed| {
            let is_blocked = entry.bytes > 0 && self.disk_health.is_blocked(key);
            let (label, tables) = (&entry.label, &entry.tables);
            !is_blocked && !self.pending.refuse(entry.generation, label, tables)
        };
        let living = known.filter(|entry| !entry.is_expired(now) && may_be_served(entry));
        living.map_or(0, |entry| entry.ttl_seconds)
    }

    /// Returns the metadata of a result created now, before it is written.
    fn metadata_of(&self, request: &StoreRequest<'_>, ttl: u64) -> Metadata {
        Metadata {
            key: request.key,
            entry_id: unique_id(),
            label: request.label.to_owned(),
            tables: request.tables.clone(),
            created_at: self.time.steady_seconds(),
            ttl_seconds: ttl,
            codec: crate::disk::Format::Parquet,
            data_len: 0,
            data_xxh3: String::new(),
            rows: request.batches.iter().map(|b| b.num_rows() as u64).sum(),
            compute_ms: u64::try_from(request.compute.as_millis()).unwrap_or(u64::MAX),
            generation: self.generation_of(&request.stamp),
            is_inline: false,
            file_len: 0,
        }
    }

    /// Returns `true` if files may be written now.
    pub(crate) fn writes_files(&self) -> bool {
        self.readable_disk().is_some() && !self.disk_health.is_paused(self.now_millis())
    }

    /// Writes a result that is only in memory to a file, with its original creation time.
    pub(crate) fn keep_in_file(&self, request: &StoreRequest<'_>, hit: &Hit) -> Result<(), Error> {
        let ttl = match request.ttl {
            Some(_) => {
                let requested = self.ttls.effective(request.ttl, request.label)?;
                requested.max(hit.entry.ttl_seconds)
            }
            None => hit.entry.ttl_seconds,
        };
        if hit.age.as_secs() < ttl {
            let metadata = Metadata {
                created_at: hit.entry.created_at,
                ..self.metadata_of(request, ttl)
            };
            self.keep(request, metadata, || ());
        }
        Ok(())
    }

    /// Stores a result found elsewhere with its original creation time; returns the entry, stored or not.
    #[cfg(feature = "shared")]
    pub(super) fn store_found(
        &self,
        request: &StoreRequest<'_>,
        created_at: u64,
        ttl: u64,
    ) -> (Stored, Arc<Entry>) {
        let metadata = Metadata {
            created_at,
            ..self.metadata_of(request, ttl)
        };
        if let Some(newer) = self.newer_in_memory(request, &metadata) {
            return (Stored::Skipped(Skip::Outdated), newer);
        }
        let (entry, _) = self.entry_of_request(request, &metadata, false);
        (self.keep(request, metadata, || ()), entry)
    }

    fn keep(&self, request: &StoreRequest<'_>, metadata: Metadata, early: impl FnOnce()) -> Stored {
        if self.newer_in_memory(request, &metadata).is_some() {
            return Stored::Skipped(Skip::Outdated);
        }
        match &self.disk {
            Some(disk) if !request.is_automatic || is_worth_a_file(request) => {
                self.store_in_file(disk, request, metadata, early)
            }
            _ => self.store_in_memory(request, &metadata),
        }
    }

    /// Returns the invalidation count that invalidations compare with their own.
    fn generation_of(&self, stamp: &GenerationStamp) -> u64 {
        match self.disk {
            Some(_) => stamp.shared.map_or(0, Generation::count),
            None => stamp.own,
        }
    }

    fn store_in_memory(&self, request: &StoreRequest<'_>, metadata: &Metadata) -> Stored {
        let own = self.generations.own();
        if *own != request.stamp.own {
            return Stored::Skipped(Skip::Invalidated);
        }
        if self.insert_memory(request, metadata, false) {
            Stored::Kept {
                tier: Tier::Memory,
                bytes: 0,
            }
        } else {
            Stored::Skipped(Skip::TooLarge)
        }
    }

    /// Stores in memory first, so that later lookups need not wait for the file.
    fn store_in_file(
        &self,
        disk: &Disk,
        request: &StoreRequest<'_>,
        mut metadata: Metadata,
        early: impl FnOnce(),
    ) -> Stored {
        self.store_in_memory(request, &metadata);
        early();
        let written = self.write(disk, request, &mut metadata);
        match written {
            Ok(()) => {
                self.sweep_if_due(metadata.blocks());
                Stored::Kept {
                    tier: Tier::Disk,
                    bytes: metadata.data_len,
                }
            }
            Err(Skip::Outdated) => Stored::Skipped(Skip::Outdated),
            Err(skip) => {
                self.drop_older(disk, &request.key, skip);
                Stored::Skipped(skip)
            }
        }
    }

    /// Removes the file that a result should have replaced: it must not be served once memory evicts the result.
    fn drop_older(&self, disk: &Disk, key: &Key, skip: Skip) {
        match skip {
            Skip::Invalidated => self.remove_replaced(key),
            _ => {
                self.remove_file(disk, key, Which::Any, LOCK_LIMIT);
                // too large for memory as well: the index lists the older file
                if self.memory.get(key).is_none() {
                    self.remove_entry(key, None);
                }
            }
        }
    }

    /// Removes an outdated entry that was not replaced.
    fn remove_replaced(&self, key: &Key) {
        self.remove_entry(key, None);
        if let Some(disk) = &self.disk {
            self.remove_file(disk, key, Which::Any, LOCK_LIMIT);
            self.remove_entry(key, None);
        }
    }

    /// Removes the files of an entry. Files that cannot be removed within `patience` are no longer read.
    fn remove_file(&self, disk: &Disk, key: &Key, which: Which<'_>, patience: Duration) {
        if !disk.may_hold(key) {
            return self.disk_health.unblock(key);
        }
        let there = disk.metadata(key).ok().map(|found| found.entry_id);
        let is_replaced = |id: &str| there.as_ref().is_some_and(|there| there != id);
        let meant = match which {
            Which::Id(id) if is_replaced(id) => return self.disk_health.unblock(key),
            Which::Id(id) => Some(id.to_owned()),
            _ => there,
        };
        let removed = disk
            .exclusive(patience)
            .and_then(|exclusive| disk.remove(key, which, &exclusive))
            .and_then(|_| disk.sync_removed(std::slice::from_ref(key)));
        match removed {
            Err(error) if !disk.is_gone() => self.refuse_file(key, Unremoved(meant), &error),
            _ => self.disk_health.unblock(key),
        }
    }

    /// Prevents reads of a file that could not be removed.
    fn refuse_file(&self, key: &Key, unremoved: Unremoved, error: &io::Error) {
        let was_blocked = self.disk_health.is_blocked(key);
        let effect = match self.disk_health.block(key, unremoved) {
            true if was_blocked => return,
            true => "its file is not read until it is removed",
            false => {
                self.distrust_files();
                "files are not read until a clear succeeds"
            }
        };
        tracing::error!(target: "data_cache", %error, effect, "entry_not_removed");
    }

    /// Returns `true` if a file that must be removed still exists; retries the removal without waiting for the
    /// directory lock. A file that replaced it meanwhile is not affected.
    pub(super) fn is_file_refused(&self, disk: &Disk, key: &Key) -> bool {
        let Some(unremoved) = self.disk_health.blocked(key) else {
            return false;
        };
        self.remove_file(disk, key, unremoved.which(), Duration::ZERO);
        let is_refused = self.disk_health.is_blocked(key);
        if !is_refused {
            // a newer result that is only in memory stays
            self.index
                .remove_if(key, |entry| entry.bytes > 0 && !disk.may_hold(key));
        }
        is_refused
    }

    fn write(
        &self,
        disk: &Disk,
        request: &StoreRequest<'_>,
        metadata: &mut Metadata,
    ) -> Result<(), Skip> {
        if let Some(failure) = self.disk_health.paused_by(self.now_millis()) {
            return Err(failure);
        }
        let encoded = encode(request.batches, self.config.codec).map_err(|error| {
            tracing::warn!(target: "data_cache", error, label = %shown_label(request.label), "result_not_encoded");
            Skip::NoCodec
        })?;
        if encoded.bytes.len() as u64 > self.config.max_size_mb.saturating_mul(1 << 18) {
            return Err(Skip::TooLarge);
        }
        let staged = disk
            .stage(metadata, &encoded)
            .map_err(|error| self.disk_failed(&error))?;
        let exclusive = disk
            .exclusive(LOCK_LIMIT)
            .map_err(|error| self.disk_failed(&error));
        let committed = exclusive.and_then(|exclusive| {
            // held across the commit: an invalidation either came before
            // and is detected here, or comes after and removes the entry
            let own = self.generations.own();
            let shared = exclusive.generation().ok();
            let is_rolled_back = match (shared, self.generations.seen()) {
                (Some(shared), Some(seen)) => shared.is_rolled_back_from(seen),
                _ => false,
            };
            if is_rolled_back || *own != request.stamp.own || shared != request.stamp.shared {
                return Err(Skip::Invalidated);
            }
            let old = disk.metadata(&metadata.key).ok();
            if self.is_outdated(request, metadata, old.as_ref()) {
                return Err(Skip::Outdated);
            }
            disk.commit(&staged, metadata, old.as_ref(), &exclusive)
                .map_err(|error| self.disk_failed(&error))?;
            self.disk_health.unblock(&metadata.key);
            self.insert_memory(request, metadata, true);
            Ok(())
        });
        if committed.is_err() {
            disk.abandon(&staged, metadata);
        }
        committed
    }

    /// Returns `true` if a newer result was stored during a slow write.
    fn is_outdated(
        &self,
        request: &StoreRequest<'_>,
        metadata: &Metadata,
        in_file: Option<&Metadata>,
    ) -> bool {
        let is_newer =
            |entry: &Metadata| self.is_newer(request, metadata, entry.created_at, entry.generation);
        self.newer_in_memory(request, metadata).is_some() || in_file.is_some_and(is_newer)
    }

    fn newer_in_memory(
        &self,
        request: &StoreRequest<'_>,
        metadata: &Metadata,
    ) -> Option<Arc<Entry>> {
        let in_memory = self.memory.get(&request.key)?;
        let (created_at, generation) = (in_memory.created_at, in_memory.generation);
        // the result itself is in memory before it is in a file
        let is_newer = in_memory.id != metadata.entry_id
            && self.is_newer(request, metadata, created_at, generation);
        is_newer.then_some(in_memory)
    }

    /// Returns `true` if another result was stored since the computation of this one began, or after this one was
    /// created; within the second in which the computation began, the invalidation count decides. Creation times in the
    /// future are ignored: their clock was set back.
    fn is_newer(
        &self,
        request: &StoreRequest<'_>,
        metadata: &Metadata,
        created_at: u64,
        generation: u64,
    ) -> bool {
        let since = request.begun.unwrap_or(u64::MAX).min(metadata.created_at);
        let was_computed = request.begun.is_some() && generation >= metadata.generation;
        let since = since.saturating_add(u64::from(!was_computed));
        (since..=self.time.steady_seconds()).contains(&created_at)
    }

    fn insert_memory(
        &self,
        request: &StoreRequest<'_>,
        metadata: &Metadata,
        on_disk: bool,
    ) -> bool {
        let (entry, indexed) = self.entry_of_request(request, metadata, on_disk);
        self.insert_entry(request.key, entry, indexed)
    }

    /// Returns the entry and its index record, which share label and tables.
    fn entry_of_request(
        &self,
        request: &StoreRequest<'_>,
        metadata: &Metadata,
        on_disk: bool,
    ) -> (Arc<Entry>, Indexed) {
        let indexed = Indexed::of(metadata, Usage::at(self.now_millis()));
        let (batches, digest) = (compact::small_ones(request.batches), request.digest.clone());
        let checked_at = match on_disk || !request.is_automatic {
            true => self.time.elapsed_millis(),
            false => NEVER_CHECKED,
        };
        let entry = Arc::new(Entry {
            on_disk,
            ..indexed.with_data(metadata, batches, digest, checked_at)
        });
        (entry, indexed)
    }

    fn disk_failed(&self, error: &io::Error) -> Skip {
        use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull, TimedOut};
        let skip = match error.kind() {
            StorageFull | QuotaExceeded => Skip::NoSpace,
            _ => Skip::Io,
        };
        let lasts = matches!(error.kind(), ReadOnlyFilesystem | TimedOut);
        // 5 is EIO
        if skip == Skip::NoSpace || lasts || error.raw_os_error() == Some(5) {
            self.disk_health.pause(self.now_millis(), skip);
            tracing::warn!(target: "data_cache", %error, pause_ms = PAUSE_MILLIS, "cache_writes_paused");
        } else {
            tracing::warn!(target: "data_cache", %error, "cache_write_failed");
        }
        skip
    }
}

/// Returns `true` if computing took at least three times as long as reading the file back would.
fn is_worth_a_file(request: &StoreRequest<'_>) -> bool {
    // measured: 0.2 ms plus 2 ms per MiB
    let decode_us = 200 + retained_bytes(request.batches) / 500;
    request.compute.as_micros() >= 3 * u128::from(decode_us)
}
