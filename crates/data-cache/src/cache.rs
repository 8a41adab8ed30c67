//! The cache: memory above files.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use arrow::array::RecordBatch;
use parking_lot::{Mutex, RwLock};
use sha2::{Digest, Sha256};

use crate::config::{Config, QueryCache};
use crate::disk::{Disk, Lookup, Metadata, hex, unique_id};
use crate::error::Error;
use crate::event::{QueryEvent, Tier};
use crate::params::Params;
use crate::pattern::Pattern;
use crate::sql;
use crate::stats::{Counters, Invalidation, Stats};

/// KiB of decoded batches kept in memory.
const MEMORY_KIB: u64 = 256 * 1024;
/// Past invalidations kept for the runbook.
const INVALIDATIONS: usize = 100;
/// A creation time further ahead than this is a clock that went back.
const CLOCK_SLACK_SECONDS: u64 = 5;

type Hook = Arc<dyn Fn(&QueryEvent) + Send + Sync>;

/// Results of queries in memory and in files; clones share one cache.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    config: QueryCache,
    disk: Option<Disk>,
    memory: moka::sync::Cache<String, Arc<Entry>>,
    index: Mutex<HashMap<String, Indexed>>,
    generation: RwLock<u64>,
    counters: Counters,
    clock_offset: AtomicU64,
    uses: AtomicU64,
    invalidations: Mutex<VecDeque<Invalidation>>,
    hooks: RwLock<Vec<Hook>>,
}

struct Entry {
    batches: Vec<RecordBatch>,
    created_at: u64,
    ttl_seconds: u64,
}

struct Indexed {
    bytes: u64,
    used: u64,
}

/// A result that the cache had.
#[derive(Clone, Debug)]
pub struct Hit {
    batches: Vec<RecordBatch>,
    tier: Tier,
    age: Duration,
}

impl Hit {
    /// The batches; at least one, which carries the schema.
    pub fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }

    /// The batches, by value.
    pub fn into_batches(self) -> Vec<RecordBatch> {
        self.batches
    }

    /// Which tier had it.
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// Time since it was computed.
    pub fn age(&self) -> Duration {
        self.age
    }
}

/// What became of a `set`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stored {
    /// Kept, in files of this many bytes.
    Kept(u64),
    /// Not kept: why.
    Skipped(String),
}

impl Cache {
    /// Opens the cache in `dir`, with the defaults of [`Config`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_with(dir, &Config::default())
    }

    /// Opens the cache in `dir`, creating it where missing. A directory that holds something else is refused.
    pub fn open_with(dir: impl AsRef<Path>, config: &Config) -> Result<Self, Error> {
        let dir = dir.as_ref();
        let config = config.query_cache.clone();
        let disk = if config.enabled {
            let opened = Disk::open(dir.to_owned());
            Some(opened.map_err(|error| {
                Error::io(format!(
                    "cannot open the cache in {}: {error}",
                    dir.display()
                ))
            })?)
        } else {
            None
        };
        let memory = moka::sync::Cache::builder()
            .max_capacity(MEMORY_KIB)
            .weigher(weight)
            .build();
        let cache = Self(Arc::new(Inner {
            config,
            disk,
            memory,
            index: Mutex::default(),
            generation: RwLock::new(0),
            counters: Counters::default(),
            clock_offset: AtomicU64::new(0),
            uses: AtomicU64::new(0),
            invalidations: Mutex::default(),
            hooks: RwLock::default(),
        }));
        cache.index_files();
        Ok(cache)
    }

    /// Looks a result up. Everything that goes wrong is a miss.
    pub fn get(&self, sql: &str, params: &Params) -> Option<Hit> {
        self.get_key(&key("default", "", &sql::normalize(sql), params))
    }

    /// Keeps a result for `ttl_seconds`, else what `cache.yaml` says; replaces an older one.
    pub fn set(
        &self,
        sql: &str,
        batches: &[RecordBatch],
        params: &Params,
        ttl_seconds: Option<u64>,
    ) -> Result<Stored, Error> {
        let sql = sql::normalize(sql);
        self.set_key(
            &key("default", "", &sql, params),
            &sql,
            batches,
            ttl_seconds,
            self.generation(),
        )
    }

    /// The kept result, or that of `compute`, which is then kept.
    ///
    /// Callers that miss at the same time each compute: coalescing is what `Warehouse` adds.
    pub fn get_or_compute<E>(
        &self,
        sql: &str,
        params: &Params,
        ttl_seconds: Option<u64>,
        compute: impl FnOnce() -> Result<Vec<RecordBatch>, E>,
    ) -> Result<Vec<RecordBatch>, E> {
        if let Some(hit) = self.get(sql, params) {
            return Ok(hit.batches);
        }
        let generation = self.generation();
        let batches = compute()?;
        let normal = sql::normalize(sql);
        if let Err(error) = self.set_key(
            &key("default", "", &normal, params),
            &normal,
            &batches,
            ttl_seconds,
            generation,
        ) {
            tracing::warn!(target: "data_cache", %error, "result_not_cached");
        }
        Ok(batches)
    }

    /// Removes the entries whose SQL text or label matches: `*` any run, `?` one character. Returns how many.
    pub fn invalidate(&self, pattern: &str) -> Result<usize, Error> {
        let matcher = Pattern::new(pattern)?;
        Ok(self.remove_where(pattern, |sql| matcher.matches(sql)))
    }

    /// Removes the entries whose SQL names this table. A table behind a view is not seen: use a pattern.
    pub fn invalidate_table(&self, table: &str) -> usize {
        let table = table.to_lowercase();
        let names = |sql: &str| {
            sql::tokens(sql).is_none_or(|tokens| {
                tokens.iter().any(|token| match token {
                    sql::Token::Word(word) => word.to_lowercase() == table,
                    sql::Token::Quoted(word) => word.trim_matches('"').to_lowercase() == table,
                    _ => false,
                })
            })
        };
        self.remove_where(&format!("table:{table}"), names)
    }

    /// Removes every entry. Returns how many.
    pub fn clear(&self) -> usize {
        self.remove_where("*", |_| true)
    }

    /// The last 100 calls of `invalidate`, `invalidate_table` and `clear`, oldest first.
    pub fn invalidations(&self) -> Vec<Invalidation> {
        self.0.invalidations.lock().iter().cloned().collect()
    }

    /// What the cache holds and has done.
    pub fn get_stats(&self) -> Stats {
        let counters = &self.0.counters;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let index = self.0.index.lock();
        let bytes: u64 = index.values().map(|entry| entry.bytes).sum();
        let (memory_hits, disk_hits, misses) = (
            load(&counters.memory_hits),
            load(&counters.disk_hits),
            load(&counters.misses),
        );
        let hits = memory_hits + disk_hits;
        Stats {
            entries: index.len() as u64,
            total_size_bytes: bytes,
            total_size_mb: bytes as f64 / 1_048_576.0,
            hit_ratio: if hits + misses == 0 {
                0.0
            } else {
                hits as f64 / (hits + misses) as f64
            },
            hits,
            memory_hits,
            disk_hits,
            misses,
            bypasses: load(&counters.bypasses),
            corrupt: load(&counters.corrupt),
            evicted_size: load(&counters.evicted_size),
            evicted_expired: load(&counters.evicted_expired),
            evicted_invalidated: load(&counters.evicted_invalidated),
        }
    }

    /// Sets the totals of the overview's cache metrics.
    #[cfg(feature = "metrics")]
    pub fn publish_metrics(&self) {
        let stats = self.get_stats();
        metrics::counter!("cache_hits_total", "cache_type" => "query").absolute(stats.hits);
        metrics::counter!("cache_misses_total", "cache_type" => "query").absolute(stats.misses);
        metrics::gauge!("cache_size_bytes", "cache_type" => "query")
            .set(stats.total_size_bytes as f64);
        metrics::counter!("cache_tier_hits_total", "tier" => "memory").absolute(stats.memory_hits);
        metrics::counter!("cache_tier_hits_total", "tier" => "disk").absolute(stats.disk_hits);
        for (reason, count) in [
            ("size", stats.evicted_size),
            ("expired", stats.evicted_expired),
            ("invalidated", stats.evicted_invalidated),
        ] {
            metrics::counter!("cache_evictions_total", "cache_type" => "query", "reason" => reason)
                .absolute(count);
        }
    }

    /// Calls `hook` after each query of a warehouse that uses this cache, on the thread that answered it.
    pub fn on_query(&self, hook: impl Fn(&QueryEvent) + Send + Sync + 'static) {
        self.0.hooks.write().push(Arc::new(hook));
    }

    /// Moves this cache's clock forward.
    #[cfg(feature = "testing")]
    pub fn advance_clock(&self, by: Duration) {
        self.0
            .clock_offset
            .fetch_add(by.as_secs(), Ordering::Relaxed);
    }

    #[cfg(feature = "duckdb")]
    pub(crate) fn emit(&self, event: &QueryEvent) {
        if matches!(event.status, crate::event::Status::Bypass(_)) {
            self.0.counters.bypasses.fetch_add(1, Ordering::Relaxed);
        }
        let hooks = self.0.hooks.read().clone();
        hooks.iter().for_each(|hook| hook(event));
    }

    #[cfg(feature = "duckdb")]
    pub(crate) fn permits(&self, sql: &str) -> bool {
        self.0.config.pattern_ttl(sql).is_some()
    }

    /// Counts invalidations: a result is kept only if the count did not move while it was computed.
    pub(crate) fn generation(&self) -> u64 {
        *self.0.generation.read()
    }

    pub(crate) fn get_key(&self, key: &str) -> Option<Hit> {
        let found = self.find(key);
        let counters = &self.0.counters;
        let counter = match found.as_ref().map(Hit::tier) {
            Some(Tier::Memory) => &counters.memory_hits,
            Some(Tier::Disk) => &counters.disk_hits,
            None => &counters.misses,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    pub(crate) fn set_key(
        &self,
        key: &str,
        sql: &str,
        batches: &[RecordBatch],
        ttl: Option<u64>,
        generation: u64,
    ) -> Result<Stored, Error> {
        if sql.is_empty() {
            return Err(Error::input("empty SQL"));
        }
        let Some(first) = batches.first() else {
            return Ok(Stored::Skipped(
                "no batch, so no schema: pass an empty batch".to_owned(),
            ));
        };
        if batches.iter().any(|batch| batch.schema() != first.schema()) {
            return Err(Error::input(
                "the batches of one result have different schemas",
            ));
        }
        let ttl = ttl
            .or_else(|| self.0.config.pattern_ttl(sql))
            .unwrap_or(self.0.config.default_ttl_seconds);
        let Some(disk) = self.0.disk.as_ref().filter(|_| ttl > 0) else {
            return Ok(Stored::Skipped(
                "the cache is disabled, or the TTL is 0".to_owned(),
            ));
        };
        let metadata = Metadata {
            format: 1,
            key: key.to_owned(),
            entry_id: unique_id(),
            sql: sql.to_owned(),
            created_at: self.now(),
            ttl_seconds: ttl,
            codec: String::new(),
            data_len: 0,
            data_sha256: String::new(),
            rows: batches.iter().map(RecordBatch::num_rows).sum(),
        };
        // Held over the commit: an invalidation either comes before, and is noticed, or after, and removes the entry.
        let current = self.0.generation.read();
        if *current != generation {
            return Ok(Stored::Skipped(
                "invalidated while it was computed".to_owned(),
            ));
        }
        match disk.write(metadata, batches) {
            Ok(metadata) => {
                self.remember(&metadata, batches.to_vec());
                drop(current);
                self.evict();
                Ok(Stored::Kept(metadata.data_len))
            }
            Err(reason) => {
                tracing::warn!(target: "data_cache", reason, "result_not_stored");
                Ok(Stored::Skipped(reason))
            }
        }
    }

    fn find(&self, key: &str) -> Option<Hit> {
        let disk = self.0.disk.as_ref()?;
        if let Some(entry) = self.0.memory.get(key) {
            return self.fresh(key, &entry, Tier::Memory);
        }
        let current = self.0.generation.read();
        match disk.read(key) {
            Lookup::Found(metadata, batches) => {
                let entry = self.remember(&metadata, batches);
                drop(current);
                self.fresh(key, &entry, Tier::Disk)
            }
            Lookup::Absent => None,
            Lookup::Corrupt => {
                self.0.counters.corrupt.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(target: "data_cache", key, "damaged_entry_removed");
                self.forget(key);
                None
            }
        }
    }

    fn fresh(&self, key: &str, entry: &Entry, tier: Tier) -> Option<Hit> {
        let now = self.now();
        let age = now.saturating_sub(entry.created_at);
        if age >= entry.ttl_seconds || entry.created_at > now + CLOCK_SLACK_SECONDS {
            self.forget(key);
            self.0
                .counters
                .evicted_expired
                .fetch_add(1, Ordering::Relaxed);
            return None;
        }
        if let Some(indexed) = self.0.index.lock().get_mut(key) {
            indexed.used = self.0.uses.fetch_add(1, Ordering::Relaxed);
        }
        Some(Hit {
            batches: entry.batches.clone(),
            tier,
            age: Duration::from_secs(age),
        })
    }

    fn remember(&self, metadata: &Metadata, batches: Vec<RecordBatch>) -> Arc<Entry> {
        let entry = Arc::new(Entry {
            batches,
            created_at: metadata.created_at,
            ttl_seconds: metadata.ttl_seconds,
        });
        self.0.memory.insert(metadata.key.clone(), entry.clone());
        self.index(metadata);
        entry
    }

    fn index(&self, metadata: &Metadata) {
        let used = self.0.uses.fetch_add(1, Ordering::Relaxed);
        self.0.index.lock().insert(
            metadata.key.clone(),
            Indexed {
                bytes: metadata.data_len,
                used,
            },
        );
    }

    fn index_files(&self) {
        let mut found = self.0.disk.as_ref().map(Disk::list).unwrap_or_default();
        found.sort_by_key(|metadata| metadata.created_at);
        found.iter().for_each(|metadata| self.index(metadata));
        self.evict();
    }

    fn forget(&self, key: &str) {
        self.0.memory.invalidate(key);
        self.0.index.lock().remove(key);
        if let Some(disk) = &self.0.disk {
            disk.remove(key);
        }
    }

    fn evict(&self) {
        let limit = self.0.config.max_size_mb.saturating_mul(1_048_576);
        let mut victims = Vec::new();
        {
            let index = self.0.index.lock();
            let mut total: u64 = index.values().map(|entry| entry.bytes).sum();
            if total <= limit {
                return;
            }
            let mut oldest: Vec<_> = index
                .iter()
                .map(|(key, entry)| (entry.used, entry.bytes, key.clone()))
                .collect();
            oldest.sort_unstable();
            for (_, bytes, key) in oldest {
                if total <= limit / 10 * 9 {
                    break;
                }
                total -= bytes;
                victims.push(key);
            }
        }
        self.0
            .counters
            .evicted_size
            .fetch_add(victims.len() as u64, Ordering::Relaxed);
        victims.iter().for_each(|key| self.forget(key));
    }

    fn remove_where(&self, pattern: &str, matches: impl Fn(&str) -> bool) -> usize {
        let mut generation = self.0.generation.write();
        *generation += 1;
        let found = self.0.disk.as_ref().map(Disk::list).unwrap_or_default();
        let removed: Vec<_> = found
            .into_iter()
            .filter(|metadata| matches(&metadata.sql))
            .collect();
        removed
            .iter()
            .for_each(|metadata| self.forget(&metadata.key));
        drop(generation);
        let count = removed.len();
        self.0
            .counters
            .evicted_invalidated
            .fetch_add(count as u64, Ordering::Relaxed);
        tracing::info!(target: "data_cache", pattern, removed = count, "cache_invalidated");
        let mut past = self.0.invalidations.lock();
        past.truncate(INVALIDATIONS);
        if past.len() == INVALIDATIONS {
            past.pop_front();
        }
        past.push_back(Invalidation {
            at: SystemTime::now(),
            pattern: pattern.to_owned(),
            removed: count,
        });
        count
    }

    fn now(&self) -> u64 {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        now.as_secs() + self.0.clock_offset.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache")
            .field("stats", &self.get_stats())
            .finish_non_exhaustive()
    }
}

/// Weight in KiB. Buffers shared by columns count more than once: the tier holds less, never more.
fn weight(_: &String, entry: &Arc<Entry>) -> u32 {
    let bytes: usize = entry
        .batches
        .iter()
        .map(RecordBatch::get_array_memory_size)
        .sum();
    u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX)
}

/// SHA-256 over length-prefixed fields.
pub(crate) fn key(database: &str, context: &str, normal_sql: &str, params: &Params) -> String {
    let mut hash = Sha256::new();
    let mut field = |tag: u8, bytes: &[u8]| {
        hash.update([tag]);
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    field(b'v', b"data-cache/key/1");
    field(b'd', database.as_bytes());
    field(b'c', context.as_bytes());
    field(b'q', normal_sql.as_bytes());
    for (name, value) in &params.0 {
        let (tag, bytes) = value.key_bytes();
        field(b'n', name.as_bytes());
        field(tag, &bytes);
    }
    hex(&hash.finalize())
}
