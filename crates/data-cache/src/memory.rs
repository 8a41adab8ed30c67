//! The tier in memory.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayData, RecordBatch};
use arrow::buffer::Buffer;

use crate::etag::ContentDigest;
use crate::key::{BuildKeyHasher, Key};

/// A result in memory.
pub(crate) struct Entry {
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) id: String,
    /// Seconds since 1970.
    pub(crate) created_at: u64,
    pub(crate) ttl_seconds: u64,
    /// Time it took to compute; 0 if unknown.
    pub(crate) compute_ms: u64,
    /// Names that invalidations look at.
    pub(crate) label: Arc<str>,
    pub(crate) tables: Arc<[String]>,
    /// Count of invalidations before it was computed.
    pub(crate) generation: u64,
    /// `true` if there is a file below it, which another process may replace or remove.
    pub(crate) on_disk: bool,
    /// Time of the last look at the file, in milliseconds of the process.
    pub(crate) checked: AtomicU64,
    pub(crate) usage: Arc<Usage>,
    pub(crate) digest: ContentDigest,
}

/// Use of an entry; shared by memory and index.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    /// Milliseconds since 1970.
    pub(crate) last: AtomicU64,
    pub(crate) hits: AtomicU64,
}

impl Usage {
    pub(crate) fn at(millis: u64) -> Arc<Self> {
        Arc::new(Self {
            last: AtomicU64::new(millis),
            hits: AtomicU64::new(0),
        })
    }

    pub(crate) fn touch(&self, millis: u64) {
        self.last.fetch_max(millis, Ordering::Relaxed);
        self.hits.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) struct Memory {
    entries: moka::sync::Cache<Key, Arc<Entry>, BuildKeyHasher>,
    capacity: u64,
    /// KiB that were inserted since the cache of entries last evicted.
    unsettled: AtomicU64,
}

impl Memory {
    /// Room for `mib` MiB of results; 0 keeps none.
    pub(crate) fn new(mib: u64) -> Self {
        let capacity = mib.saturating_mul(1024);
        let entries = moka::sync::Cache::builder()
            .max_capacity(capacity)
            .weigher(|_: &Key, entry: &Arc<Entry>| kib(&entry.batches))
            .build_with_hasher(BuildKeyHasher::default());
        Self {
            entries,
            capacity,
            unsettled: AtomicU64::new(0),
        }
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        self.entries.get(key)
    }

    /// Keeps an entry, unless it would take more than an eighth of the room.
    pub(crate) fn insert(&self, key: Key, entry: Arc<Entry>) -> bool {
        if self.capacity == 0 {
            return false;
        }
        let size = u64::from(kib(&entry.batches));
        let fits = size <= self.capacity / 8;
        if fits {
            self.entries.insert(key, entry);
            // it evicts in batches of entries, however large they are
            let unsettled = self.unsettled.fetch_add(size, Ordering::Relaxed) + size;
            if unsettled > self.capacity / 32 {
                self.unsettled.store(0, Ordering::Relaxed);
                self.entries.run_pending_tasks();
            }
        } else {
            self.entries.invalidate(&key);
        }
        fits
    }

    pub(crate) fn remove(&self, key: &Key) {
        self.entries.invalidate(key);
    }

    pub(crate) fn clear(&self) {
        self.entries.invalidate_all();
    }

    /// Bytes of the results that are held, and their number.
    pub(crate) fn size(&self) -> (u64, u64) {
        self.entries.run_pending_tasks();
        (
            self.entries.weighted_size().saturating_mul(1024),
            self.entries.entry_count(),
        )
    }
}

/// Bytes of an entry beside its batches: label, index, and the tables that it is in.
const ENTRY_BYTES: u64 = 700;

/// At least 1, so that empty results count too.
fn kib(batches: &[RecordBatch]) -> u32 {
    u32::try_from((retained_bytes(batches) + ENTRY_BYTES) / 1024 + 1).unwrap_or(u32::MAX)
}

/// Bytes of a batch beside its columns.
const BATCH_BYTES: u64 = 128;
/// Bytes of an array beside its buffers: the array, its buffers' owners, and what the allocator adds.
const ARRAY_BYTES: u64 = 400;

/// Bytes that the batches keep alive. An allocation that several columns or slices share counts once, and whole.
pub(crate) fn retained_bytes(batches: &[RecordBatch]) -> u64 {
    let mut seen = HashSet::new();
    let mut bytes = (batches.len() as u64) * BATCH_BYTES;
    for column in batches.iter().flat_map(RecordBatch::columns) {
        add(&column.to_data(), &mut seen, &mut bytes);
    }
    bytes
}

fn add(data: &ArrayData, seen: &mut HashSet<*const u8>, bytes: &mut u64) {
    *bytes += ARRAY_BYTES;
    let mut count = |buffer: &Buffer| {
        if seen.insert(buffer.data_ptr().as_ptr()) {
            *bytes += buffer.capacity() as u64;
        }
    };
    data.buffers().iter().for_each(&mut count);
    if let Some(nulls) = data.nulls() {
        count(nulls.buffer());
    }
    for child in data.child_data() {
        add(child, seen, bytes);
    }
}
