//! Index of the entries: for patterns, sizes and the order of last use.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use parking_lot::{Mutex, MutexGuard};

use crate::disk::{Listed, Metadata, shared_tables};
use crate::etag::ContentDigest;
use crate::key::{BuildKeyHasher, Key};
use crate::memory::{Entry, Usage};

/// An entry without its data.
#[derive(Clone)]
pub(crate) struct Indexed {
    pub(crate) label: Arc<str>,
    pub(crate) tables: Arc<[String]>,
    pub(crate) created_at: u64,
    pub(crate) ttl_seconds: u64,
    /// Compute time in milliseconds; 0 if unknown.
    pub(crate) compute_ms: u64,
    /// Invalidation count before it was computed.
    pub(crate) generation: u64,
    /// Bytes of the blocks of its files; 0 if in memory only.
    pub(crate) bytes: u64,
    pub(crate) usage: Arc<Usage>,
}

impl Indexed {
    pub(crate) fn of(metadata: &Metadata, usage: Arc<Usage>) -> Self {
        Self {
            label: metadata.label.as_str().into(),
            tables: shared_tables(metadata.tables.clone()),
            created_at: metadata.created_at,
            ttl_seconds: metadata.ttl_seconds,
            compute_ms: metadata.compute_ms,
            generation: metadata.generation,
            bytes: metadata.blocks(),
            usage,
        }
    }

    /// Returns the entry with its data, marked as stored on disk;
    /// `checked_at` is the time of the last check of its file.
    pub(crate) fn with_data(
        &self,
        metadata: &Metadata,
        batches: Vec<RecordBatch>,
        digest: ContentDigest,
        checked_at: u64,
    ) -> Entry {
        Entry {
            batches,
            id: metadata.entry_id.clone(),
            created_at: metadata.created_at,
            ttl_seconds: metadata.ttl_seconds,
            compute_ms: metadata.compute_ms,
            label: self.label.clone(),
            tables: self.tables.clone(),
            generation: metadata.generation,
            on_disk: true,
            checked: AtomicU64::new(checked_at),
            usage: self.usage.clone(),
            digest,
        }
    }

    /// Creates an entry whose time of last use is unknown.
    pub(crate) fn listed(listed: Listed) -> Self {
        Self {
            label: listed.label,
            tables: listed.tables,
            created_at: listed.created_at,
            ttl_seconds: listed.ttl_seconds,
            compute_ms: listed.compute_ms,
            generation: listed.generation,
            bytes: listed.bytes,
            usage: Usage::at(0),
        }
    }

    pub(crate) fn to_listed(&self) -> Listed {
        Listed {
            label: self.label.clone(),
            tables: self.tables.clone(),
            created_at: self.created_at,
            ttl_seconds: self.ttl_seconds,
            compute_ms: self.compute_ms,
            generation: self.generation,
            bytes: self.bytes,
        }
    }

    /// Bytes of memory used by this index entry.
    fn memory_bytes(&self) -> u64 {
        let tables: usize = self.tables.iter().map(|table| 40 + table.len()).sum();
        ENTRY_BYTES + (self.label.len() + tables) as u64
    }

    pub(crate) fn is_expired(&self, now: u64) -> bool {
        now.saturating_sub(self.created_at) >= self.ttl_seconds
    }
}

/// Number of index shards: an iteration over all entries blocks only one shard at a time.
const SHARDS: usize = 64;

pub(crate) struct Index {
    shards: [Mutex<Shard>; SHARDS],
    /// Bytes of the files of all entries.
    bytes: AtomicU64,
    /// Bytes of memory used by the index.
    memory_bytes: AtomicU64,
}

/// Bytes of an entry without its texts: key, numbers, use count, and the overhead of table and allocator.
const ENTRY_BYTES: u64 = 280;

type Shard = HashMap<Key, Indexed, BuildKeyHasher>;

/// The index slot of one key, locked against access by other threads.
pub(crate) struct Slot<'a> {
    index: &'a Index,
    shard: MutexGuard<'a, Shard>,
    key: Key,
}

impl Slot<'_> {
    pub(crate) fn get(&self) -> Option<&Indexed> {
        self.shard.get(&self.key)
    }

    pub(crate) fn insert(&mut self, entry: Indexed) {
        self.index.add(&entry);
        if let Some(old) = self.shard.insert(self.key, entry) {
            self.index.subtract(&old);
        }
    }

    /// Empties the slot; returns `true` if it held an entry.
    pub(crate) fn remove(&mut self) -> bool {
        let old = self.shard.remove(&self.key);
        old.inspect(|old| self.index.subtract(old)).is_some()
    }
}

impl Default for Index {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            bytes: AtomicU64::new(0),
            memory_bytes: AtomicU64::new(0),
        }
    }
}

impl Index {
    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard> {
        self.shards[key.shard() % SHARDS].lock()
    }

    pub(crate) fn slot(&self, key: &Key) -> Slot<'_> {
        Slot {
            index: self,
            shard: self.shard(key),
            key: *key,
        }
    }

    /// Reserves space for `entries` entries.
    pub(crate) fn reserve(&self, entries: usize) {
        for shard in &self.shards {
            // shards are never quite equal in size
            shard
                .lock()
                .reserve(entries / SHARDS + entries / SHARDS / 8);
        }
    }

    fn add(&self, entry: &Indexed) {
        self.bytes.fetch_add(entry.bytes, Ordering::Relaxed);
        self.memory_bytes
            .fetch_add(entry.memory_bytes(), Ordering::Relaxed);
    }

    fn subtract(&self, entry: &Indexed) {
        self.bytes.fetch_sub(entry.bytes, Ordering::Relaxed);
        self.memory_bytes
            .fetch_sub(entry.memory_bytes(), Ordering::Relaxed);
    }

    /// Removes an entry if `is_meant` returns `true` for it; returns `true` if it was removed.
    pub(crate) fn remove_if(&self, key: &Key, is_meant: impl Fn(&Indexed) -> bool) -> bool {
        let mut slot = self.slot(key);
        slot.get().is_some_and(is_meant) && slot.remove()
    }

    pub(crate) fn contains(&self, key: &Key) -> bool {
        self.shard(key).contains_key(key)
    }

    pub(crate) fn usage(&self, key: &Key) -> Option<Arc<Usage>> {
        self.shard(key).get(key).map(|entry| entry.usage.clone())
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    pub(crate) fn retain(&self, keep: impl Fn(&Key, &Indexed) -> bool) {
        for shard in &self.shards {
            shard.lock().retain(|key, entry| {
                let kept = keep(key, entry);
                if !kept {
                    self.subtract(entry);
                }
                kept
            });
        }
    }

    pub(crate) fn all(&self) -> Vec<(Key, Indexed)> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            all.extend(shard.iter().map(|(key, entry)| (*key, entry.clone())));
        }
        all
    }

    /// Returns the keys of the entries that are picked and match, with the value returned by `pick`. `matches` gets
    /// invalidation count, label and tables; it runs on copies, without holding a lock.
    pub(crate) fn matching<P>(
        &self,
        pick: impl Fn(&Indexed) -> Option<P>,
        matches: impl Fn(u64, &str, &[String]) -> bool,
    ) -> Vec<(Key, P)> {
        let (mut found, mut copies) = (Vec::new(), Vec::new());
        for shard in &self.shards {
            copies.extend(shard.lock().iter().filter_map(|(key, entry)| {
                let picked = pick(entry)?;
                let (label, tables) = (entry.label.clone(), entry.tables.clone());
                Some((*key, picked, entry.generation, label, tables))
            }));
            for (key, picked, generation, label, tables) in copies.drain(..) {
                if matches(generation, &label, &tables) {
                    found.push((key, picked));
                }
            }
        }
        found
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Indexed> {
        self.shard(key).get(key).cloned()
    }

    /// Number of unexpired entries.
    pub(crate) fn live(&self, now: u64) -> u64 {
        let live = self.shards.iter().map(|shard| {
            let shard = shard.lock();
            shard
                .values()
                .filter(|entry| !entry.is_expired(now))
                .count()
        });
        live.sum::<usize>() as u64
    }

    /// Returns at most `count` unexpired entries, those with the most hits.
    pub(crate) fn top(&self, count: usize, now: u64) -> Vec<Indexed> {
        let mut live = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            let entries = shard.values().filter(|entry| !entry.is_expired(now));
            live.extend(
                entries.map(|entry| (entry.usage.hits.load(Ordering::Relaxed), entry.clone())),
            );
        }
        live.sort_by(|(a, first), (b, second)| {
            b.cmp(a).then_with(|| first.label.cmp(&second.label))
        });
        live.into_iter()
            .take(count)
            .map(|(_, entry)| entry)
            .collect()
    }
}
