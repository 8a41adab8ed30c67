//! The tier in memory.

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
    /// Time it took to compute; 0 if unknown.
    pub(crate) compute_ms: u64,
    /// Names that invalidations look at.
    pub(crate) label: Arc<str>,
    pub(crate) tables: Arc<[String]>,
    /// Count of invalidations before it was computed.
    pub(crate) generation: u64,
    /// `true` if there is a file below it, which another process may replace or remove.
    pub(crate) on_disk: bool,
    /// Time of the last look at the file, in milliseconds of the process, or [`NOT_LOOKED_FOR`].
    pub(crate) checked: AtomicU64,
    pub(crate) usage: Arc<Usage>,
    pub(crate) digest: ContentDigest,
}

/// Stands for the time of a look if no file is looked for.
pub(crate) const NOT_LOOKED_FOR: u64 = u64::MAX;

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

    /// Bytes held for how long, for each millisecond of computing that its uses would save. Of two results that cost and
    /// take the same, and are used as often, the one that was used longer ago goes first.
    pub(crate) fn waste(&self, now: u64, bytes: u64, compute_ms: u64) -> u64 {
        let idle_ms = now.saturating_sub(self.last.load(Ordering::Relaxed));
        let uses = self.hits.load(Ordering::Relaxed).saturating_add(1);
        waste(idle_ms, bytes, compute_ms, uses)
    }
}

/// See [`Usage::waste`].
pub(crate) fn waste(idle_ms: u64, bytes: u64, compute_ms: u64, uses: u64) -> u64 {
    // a result of unknown cost is worth 10 ms, and one that was just used counts as idle for a second; uses beyond the limit add nothing,
    // so that a result that was popular once ages
    let saved_ms = u128::from(compute_ms.saturating_add(10)) * u128::from(uses.min(MOST_USES));
    let held = u128::from(idle_ms.saturating_add(1000)) * u128::from(bytes.max(1));
    // shifted before the division, so that small results do not all become 0
    u64::try_from((held << 10) / saved_ms).unwrap_or(u64::MAX)
}

/// Uses that count.
const MOST_USES: u64 = 100;

/// The entries in memory, and which of them goes.
///
/// Readers ask the map alone, and keep nobody from it for longer than one entry takes. A full memory evicts by what a use of
/// each entry would save. What is taken out is freed at once, unless somebody reads it still: maps that free behind their
/// readers held half as much again as a small limit allows.
pub(crate) struct Memory {
    entries: [RwLock<Shard>; SHARDS],
    /// Bytes of all entries at most.
    capacity: u64,
    /// The same entries, for those who insert and remove.
    residents: Mutex<Residents>,
}

type Shard = HashMap<Key, Arc<Entry>, BuildKeyHasher>;

/// Result of [`Memory::insert`].
#[derive(Default)]
pub(crate) struct Inserted {
    pub(crate) is_kept: bool,
    /// Entries that went to make room.
    pub(crate) evicted: Vec<(Key, Arc<Entry>)>,
}

/// Parts of the map, each with a lock of its own.
const SHARDS: usize = 64;

impl Memory {
    /// Room for `mib` MiB of results; 0 keeps none.
    pub(crate) fn new(mib: u64) -> Self {
        Self {
            entries: std::array::from_fn(|_| RwLock::default()),
            capacity: mib.saturating_mul(1 << 20) - machinery(mib),
            residents: Mutex::default(),
        }
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        self.shard(key).read().get(key).cloned()
    }

    fn shard(&self, key: &Key) -> &RwLock<Shard> {
        &self.entries[key.shard() % SHARDS]
    }

    /// Keeps an entry, unless it would take more than an eighth of the room, of which `index_bytes` are taken already, up
    /// to a half. `now` is in milliseconds since 1970.
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
            // what goes is freed when no lock is held any more
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

    /// Removes the entries that are meant. Readers are not kept waiting.
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

    /// Removes those of all entries that are meant.
    pub(crate) fn clear(&self, is_meant: impl Fn(&Entry) -> bool) {
        let keys: Vec<Key> = self.residents.lock().places.keys().copied().collect();
        self.remove_all(&keys, is_meant);
    }

    fn take_out(&self, residents: &mut Residents, key: &Key) -> Option<Arc<Entry>> {
        residents.remove(key);
        self.shard(key).write().remove(key)
    }

    /// Bytes of the results that are held, and their number.
    pub(crate) fn size(&self) -> (u64, u64) {
        let residents = self.residents.lock();
        (residents.bytes, residents.list.len() as u64)
    }
}

/// Bytes of the limit that are left for what holds no result: encoders, buffers, and what the allocator keeps of them.
/// Measured: 4 to 9 MiB, however large the limit is.
fn machinery(mib: u64) -> u64 {
    mib.saturating_mul(1 << 19).min(8 << 20)
}

/// Entries that are removed under one lock.
const REMOVED_AT_ONCE: usize = 64;
/// Entries that are compared before one is evicted.
const COMPARED: usize = 16;

/// One entry in memory, without its data.
struct Resident {
    key: Key,
    bytes: u64,
    compute_ms: u64,
    usage: Arc<Usage>,
}

#[derive(Default)]
struct Residents {
    list: Vec<Resident>,
    /// Places in the list.
    places: HashMap<Key, usize, BuildKeyHasher>,
    bytes: u64,
    /// State of the generator by which entries are drawn.
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

    /// The entry that is worth least, of some that are drawn; never `newest`.
    fn victim(&mut self, newest: &Key, now: u64) -> Option<Key> {
        let count = self.list.len();
        let mut worst = None;
        for at in 0..count.min(COMPARED) {
            let place = match count {
                ..=COMPARED => at,
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
        // all that were drawn may be the newest one
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

/// Bytes of an entry beside its batches: itself, and the tables of this tier that it is in.
const ENTRY_BYTES: u64 = 450;

/// Bytes of a batch beside its columns.
const BATCH_BYTES: u64 = 128;
/// Bytes of an array beside its buffers: the array, its buffers' owners, and what the allocator adds.
const ARRAY_BYTES: u64 = 400;

/// Bytes of a schema beside its fields, of a field beside itself, and of a pair of metadata beside its texts: owners, tables,
/// and what the allocator adds.
const SCHEMA_BYTES: usize = 160;
const FIELD_BYTES: usize = 48;
const PAIR_BYTES: usize = 96;

/// Bytes that the batches keep alive. An allocation that several columns or slices share counts once, and whole.
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

/// Bytes of a schema, which the batches of a result share.
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
