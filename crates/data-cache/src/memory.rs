//! The memory tier.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayData, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::Schema;
use parking_lot::{Mutex, RwLock};

use crate::etag::ContentDigest;
use crate::key::{BuildKeyHasher, Key};

/// A result in memory.
pub(crate) struct Entry {
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) id: String,
    /// Seconds since 1970.
    pub(crate) created_at: u64,
    pub(crate) ttl_seconds: u64,
    /// Compute time in milliseconds; 0 if unknown.
    pub(crate) compute_ms: u64,
    /// Normalized SQL or function label, matched by invalidations.
    pub(crate) label: Arc<str>,
    pub(crate) tables: Arc<[String]>,
    /// Invalidation count before it was computed.
    pub(crate) generation: u64,
    /// `true` if it has a file, which another process may replace or remove.
    pub(crate) on_disk: bool,
    /// Time of the last check of the file, in milliseconds since the cache was opened, or [`NEVER_CHECKED`].
    pub(crate) checked: AtomicU64,
    pub(crate) usage: Arc<Usage>,
    pub(crate) digest: ContentDigest,
}

/// Marks an entry whose file is never checked.
pub(crate) const NEVER_CHECKED: u64 = u64::MAX;

/// Usage of an entry, shared by memory and index.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    /// Time of last use, in milliseconds since 1970.
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

    /// Rank for eviction, highest first: bytes × idle time, per millisecond of computing that its uses would save. Of
    /// two results with equal cost, size and number of uses, the one that was used longer ago is evicted first.
    pub(crate) fn waste(&self, now: u64, bytes: u64, compute_ms: u64) -> u64 {
        let idle_ms = now.saturating_sub(self.last.load(Ordering::Relaxed));
        let uses = self.hits.load(Ordering::Relaxed).saturating_add(1);
        waste(idle_ms, bytes, compute_ms, uses)
    }
}

/// See [`Usage::waste`].
pub(crate) fn waste(idle_ms: u64, bytes: u64, compute_ms: u64, uses: u64) -> u64 {
    // a result of unknown cost counts as 10 ms, and one that was just used as idle for a second; uses beyond the limit
    // add nothing, so that a result that was popular once ages
    let saved_ms = u128::from(compute_ms.saturating_add(10)) * u128::from(uses.min(MAX_USES));
    let held = u128::from(idle_ms.saturating_add(1000)) * u128::from(bytes.max(1));
    // shifted before the division, so that small results do not all become 0
    u64::try_from((held << 10) / saved_ms).unwrap_or(u64::MAX)
}

/// Maximum number of uses that count.
const MAX_USES: u64 = 100;

/// The entries in memory, with eviction.
///
/// Readers lock only one shard of the map, and only for the time one lookup takes. When memory is full, the entries
/// whose next use would save least are evicted. A removed entry is freed at once, unless a reader still holds it: with
/// concurrent maps that free entries only after all readers, memory exceeded a small limit by half.
pub(crate) struct Memory {
    entries: [RwLock<Shard>; SHARDS],
    /// Maximum total bytes of all entries.
    capacity: u64,
    /// The same entries, for insertion and removal.
    residents: Mutex<Residents>,
}

type Shard = HashMap<Key, Arc<Entry>, BuildKeyHasher>;

/// Result of [`Memory::insert`].
#[derive(Default)]
pub(crate) struct Inserted {
    pub(crate) is_kept: bool,
    /// Entries evicted to make room.
    pub(crate) evicted: Vec<(Key, Arc<Entry>)>,
}

/// Number of map shards, each with its own lock.
const SHARDS: usize = 64;

impl Memory {
    /// Creates room for `mib` MiB of results; 0 stores none.
    pub(crate) fn new(mib: u64) -> Self {
        Self {
            entries: std::array::from_fn(|_| RwLock::default()),
            capacity: mib.saturating_mul(1 << 20) - reserved_bytes(mib),
            residents: Mutex::default(),
        }
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        self.shard(key).read().get(key).cloned()
    }

    fn shard(&self, key: &Key) -> &RwLock<Shard> {
        &self.entries[key.shard() % SHARDS]
    }

    /// Inserts an entry, unless it would take more than an eighth of the capacity. `index_bytes` reduce the capacity by
    /// at most half. `now` is in milliseconds since 1970.
    pub(crate) fn insert(
        &self,
        key: Key,
        entry: Arc<Entry>,
        now: u64,
        index_bytes: u64,
    ) -> Inserted {
        let mut inserted = Inserted::default();
        if self.capacity == 0 {
            return inserted;
        }
        let bytes = retained_bytes(&entry.batches) + ENTRY_BYTES;
        let capacity = self.capacity - index_bytes.min(self.capacity / 2);
        let mut residents = self.residents.lock();
        if bytes > capacity / 8 {
            let replaced = self.take_out(&mut residents, &key);
            // freed after the lock is released
            drop(residents);
            drop(replaced);
            return inserted;
        }
        residents.insert(Resident {
            key,
            bytes,
            compute_ms: entry.compute_ms,
            usage: entry.usage.clone(),
        });
        let replaced = self.shard(&key).write().insert(key, entry);
        while residents.bytes > capacity
            && let Some(victim) = residents.victim(&key, now)
        {
            let evicted = self.take_out(&mut residents, &victim);
            inserted
                .evicted
                .extend(evicted.map(|entry| (victim, entry)));
        }
        drop(residents);
        drop(replaced);
        inserted.is_kept = true;
        inserted
    }

    pub(crate) fn remove(&self, key: &Key) {
        let gone = self.take_out(&mut self.residents.lock(), key);
        drop(gone);
    }

    /// Removes the entries for which `is_meant` returns `true`, in chunks so that readers are not blocked.
    pub(crate) fn remove_all(&self, keys: &[Key], is_meant: impl Fn(&Entry) -> bool) {
        for keys in keys.chunks(REMOVED_AT_ONCE) {
            let mut gone = Vec::new();
            let mut residents = self.residents.lock();
            for key in keys {
                if residents.places.contains_key(key)
                    && self.get(key).is_none_or(|entry| is_meant(&entry))
                {
                    gone.extend(self.take_out(&mut residents, key));
                }
            }
        }
    }

    /// Removes every entry for which `is_meant` returns `true`.
    pub(crate) fn clear(&self, is_meant: impl Fn(&Entry) -> bool) {
        let keys: Vec<Key> = self.residents.lock().places.keys().copied().collect();
        self.remove_all(&keys, is_meant);
    }

    fn take_out(&self, residents: &mut Residents, key: &Key) -> Option<Arc<Entry>> {
        residents.remove(key);
        self.shard(key).write().remove(key)
    }

    /// Returns the total bytes of the results, and their number.
    pub(crate) fn size(&self) -> (u64, u64) {
        let residents = self.residents.lock();
        (residents.bytes, residents.list.len() as u64)
    }
}

/// Bytes of the limit that are reserved for other memory: encoders, buffers, and freed memory that the allocator
/// retains. Measured: 4 to 9 MiB, independent of the limit.
fn reserved_bytes(mib: u64) -> u64 {
    mib.saturating_mul(1 << 19).min(8 << 20)
}

/// Number of entries removed under one lock.
const REMOVED_AT_ONCE: usize = 64;
/// Number of entries compared for each eviction.
const SAMPLE_SIZE: usize = 16;

/// An entry in memory, without its data.
struct Resident {
    key: Key,
    bytes: u64,
    compute_ms: u64,
    usage: Arc<Usage>,
}

#[derive(Default)]
struct Residents {
    list: Vec<Resident>,
    /// Positions in the list.
    places: HashMap<Key, usize, BuildKeyHasher>,
    bytes: u64,
    /// State of the random generator that draws the entries.
    random: u64,
}

impl Residents {
    fn insert(&mut self, resident: Resident) {
        self.remove(&resident.key);
        self.bytes += resident.bytes;
        self.places.insert(resident.key, self.list.len());
        self.list.push(resident);
    }

    fn remove(&mut self, key: &Key) {
        let Some(place) = self.places.remove(key) else {
            return;
        };
        self.bytes -= self.list.swap_remove(place).bytes;
        if let Some(moved) = self.list.get(place) {
            self.places.insert(moved.key, place);
        }
    }

    /// Returns the least valuable entry of a random sample; never `newest`.
    fn victim(&mut self, newest: &Key, now: u64) -> Option<Key> {
        let count = self.list.len();
        let mut worst = None;
        for at in 0..count.min(SAMPLE_SIZE) {
            let place = match count {
                ..=SAMPLE_SIZE => at,
                _ => self.draw() % count,
            };
            let resident = &self.list[place];
            if resident.key == *newest {
                continue;
            }
            let waste = resident
                .usage
                .waste(now, resident.bytes, resident.compute_ms);
            if worst.is_none_or(|(most, _)| waste > most) {
                worst = Some((waste, resident.key));
            }
        }
        let mut keys = self.list.iter().map(|one| one.key);
        // the sample may consist of the newest entry alone
        worst
            .map(|(_, key)| key)
            .or_else(|| keys.find(|key| key != newest))
    }

    /// SplitMix64.
    fn draw(&mut self) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((bits ^ bits >> 31) >> 1 & u64::from(u32::MAX)).unwrap_or(0)
    }
}

/// Bytes of an entry without its batches: the struct itself and its slots in the tables of this tier.
const ENTRY_BYTES: u64 = 450;

/// Bytes of a batch without its columns.
const BATCH_BYTES: u64 = 128;
/// Bytes of an array without its buffers: the array, owners of the buffers, and allocator overhead.
const ARRAY_BYTES: u64 = 400;

/// Overhead in bytes of a schema without its fields, of a field, and of a
/// metadata pair without its texts: owners, tables, and allocator overhead.
const SCHEMA_BYTES: usize = 160;
const FIELD_BYTES: usize = 48;
const PAIR_BYTES: usize = 96;

/// Bytes that the batches keep alive. An allocation shared by several columns or slices counts once, in full.
pub(crate) fn retained_bytes(batches: &[RecordBatch]) -> u64 {
    let mut seen = HashSet::new();
    let mut bytes = (batches.len() as u64) * BATCH_BYTES;
    bytes += batches
        .first()
        .map_or(0, |first| schema_bytes(&first.schema()));
    for column in batches.iter().flat_map(RecordBatch::columns) {
        add(&column.to_data(), &mut seen, &mut bytes);
    }
    bytes
}

/// Bytes of a schema, which all batches of a result share.
fn schema_bytes(schema: &Schema) -> u64 {
    let pairs = |(key, value): (&String, &String)| PAIR_BYTES + key.len() + value.len();
    let metadata = schema.metadata().iter().map(pairs).sum::<usize>();
    let fields = schema
        .fields()
        .iter()
        .map(|field| field.size() + FIELD_BYTES);
    (SCHEMA_BYTES + metadata + fields.sum::<usize>()) as u64
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
