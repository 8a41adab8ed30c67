//! Counters of one cache.

use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) memory_hits: AtomicU64,
    pub(crate) disk_hits: AtomicU64,
    pub(crate) misses: AtomicU64,
    pub(crate) bypasses: AtomicU64,
    pub(crate) corrupt: AtomicU64,
    pub(crate) evicted_size: AtomicU64,
    pub(crate) evicted_expired: AtomicU64,
    pub(crate) evicted_invalidated: AtomicU64,
}

/// The state of a cache at one moment.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Entries on disk.
    pub entries: u64,
    /// Bytes of those files.
    pub total_size_bytes: u64,
    /// The same in MiB.
    pub total_size_mb: f64,
    /// Hits ÷ (hits + misses); 0.0 before the first lookup.
    pub hit_ratio: f64,
    /// Lookups answered.
    pub hits: u64,
    /// Of those, from memory.
    pub memory_hits: u64,
    /// Of those, from files.
    pub disk_hits: u64,
    /// Lookups not answered.
    pub misses: u64,
    /// Queries that may not be cached.
    pub bypasses: u64,
    /// Damaged entries met and removed.
    pub corrupt: u64,
    /// Entries removed for space.
    pub evicted_size: u64,
    /// Entries removed because their time was over.
    pub evicted_expired: u64,
    /// Entries removed by `invalidate`, `invalidate_table` or `clear`.
    pub evicted_invalidated: u64,
}

/// One past call of `invalidate`, `invalidate_table` or `clear`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Invalidation {
    /// When.
    pub at: SystemTime,
    /// The pattern, `table:name`, or `*` for `clear`.
    pub pattern: String,
    /// Entries removed.
    pub removed: usize,
}
