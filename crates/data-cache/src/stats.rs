//! Counters of one cache.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// Reason why a lookup found nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Miss {
    /// There is no entry.
    Absent,
    /// The entry is expired, or its creation time is in the future.
    Expired,
    /// The files of the entry are damaged; they are removed.
    Corrupt,
    /// The files of the entry cannot be read.
    Io,
    /// The cache is disabled.
    Disabled,
}

impl Miss {
    /// All reasons.
    pub const ALL: &'static [Self] = &[
        Self::Absent,
        Self::Expired,
        Self::Corrupt,
        Self::Io,
        Self::Disabled,
    ];

    /// Returns the label value of `cache_miss_reason_total`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Expired => "expired",
            Self::Corrupt => "corrupt",
            Self::Io => "io",
            Self::Disabled => "disabled",
        }
    }
}

/// Reason why a query bypasses the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Bypass {
    /// It depends on the time, on random values, or on session state.
    Nondeterministic,
    /// It reads files or other sources whose changes cannot be detected.
    Outside,
    /// It reads catalogs of the engine.
    Catalog,
    /// Its text is not understood well enough to classify it.
    UnusualText,
    /// A table that it may read is being written.
    WriteRunning,
    /// The engine cannot determine the state of its data.
    UnknownState,
    /// It is a PIVOT, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN.
    Statement,
    /// It was issued during the computation of its own result.
    Reentrant,
    /// The engine does not classify statements, and the query did not set a TTL by `ttl`.
    Unclassified,
}

impl Bypass {
    /// All reasons.
    pub const ALL: &'static [Self] = &[
        Self::Nondeterministic,
        Self::Outside,
        Self::Catalog,
        Self::UnusualText,
        Self::WriteRunning,
        Self::UnknownState,
        Self::Statement,
        Self::Reentrant,
        Self::Unclassified,
    ];

    /// Returns the label value of `cache_bypass_total`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nondeterministic => "nondeterministic",
            Self::Outside => "outside",
            Self::Catalog => "catalog",
            Self::UnusualText => "unusual_text",
            Self::WriteRunning => "write_running",
            Self::UnknownState => "unknown_state",
            Self::Statement => "statement",
            Self::Reentrant => "reentrant",
            Self::Unclassified => "unclassified",
        }
    }
}

/// Relaxed counters; [`crate::Cache::get_stats`] reads them.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) memory_hits: AtomicU64,
    pub(crate) disk_hits: AtomicU64,
    pub(crate) shared_hits: AtomicU64,
    pub(crate) stale: AtomicU64,
    pub(crate) coalesced: AtomicU64,
    misses: [AtomicU64; Miss::ALL.len()],
    bypasses: [AtomicU64; Bypass::ALL.len()],
    pub(crate) evicted_size: AtomicU64,
    pub(crate) evicted_expired: AtomicU64,
    pub(crate) evicted_invalidated: AtomicU64,
    pub(crate) saved_ms: AtomicU64,
    pub(crate) not_stored: AtomicU64,
}

impl Counters {
    pub(crate) fn miss(&self, miss: Miss) {
        self.misses[miss as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn bypass(&self, bypass: Bypass) {
        self.bypasses[bypass as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn by_miss(&self) -> impl Iterator<Item = (Miss, u64)> {
        let counts = Miss::ALL.iter().copied().zip(&self.misses);
        counts.map(|(miss, count)| (miss, count.load(Ordering::Relaxed)))
    }

    pub(crate) fn by_bypass(&self) -> impl Iterator<Item = (Bypass, u64)> {
        let counts = Bypass::ALL.iter().copied().zip(&self.bypasses);
        counts.map(|(bypass, count)| (bypass, count.load(Ordering::Relaxed)))
    }
}

/// State of a cache at one moment.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Number of unexpired entries.
    pub entries: u64,
    /// Bytes of data files.
    pub total_size_bytes: u64,
    /// `total_size_bytes` in MiB.
    pub total_size_mb: f64,
    /// Bytes of the results in memory.
    pub memory_bytes: u64,
    /// Hits ÷ (hits + misses); 0.0 before the first lookup.
    pub hit_ratio: f64,
    /// Lookups that returned a result.
    pub hits: u64,
    /// Hits from memory.
    pub memory_hits: u64,
    /// Hits from files.
    pub disk_hits: u64,
    /// Hits from the bucket that machines share.
    pub shared_hits: u64,
    /// Expired results returned to queries with `stale_while`.
    pub stale_hits: u64,
    /// Lookups that found nothing.
    pub misses: u64,
    /// Lookups that waited for another caller's run; each also counts as a hit or a miss, as that run does.
    pub coalesced: u64,
    /// Queries that bypassed the cache; counted neither as hits nor as misses.
    pub bypasses: u64,
    /// Damaged entries found and removed.
    pub corrupt: u64,
    /// Results that were not stored: no space, too large, invalidated while they were computed, …
    pub not_stored: u64,
    /// `true` while writes of files are paused for 30 s because the disk was full or failed.
    pub writes_paused: bool,
    /// Entries evicted for space.
    pub evicted_size: u64,
    /// Entries removed because they expired.
    pub evicted_expired: u64,
    /// Entries removed by `invalidate`, `invalidate_table` or `clear`.
    pub evicted_invalidated: u64,
    /// Compute time saved by hits, as far as it was measured.
    pub compute_saved: Duration,
}

/// One past call of `invalidate`, `invalidate_table` or `clear`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Invalidation {
    /// Time of the call.
    pub at: SystemTime,
    /// The pattern, `table:name`, or `*` for `clear`.
    pub pattern: String,
    /// Number of entries removed.
    pub removed: usize,
}

/// An entry, for a page that shows the most frequent queries.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TopEntry {
    /// The statement without literals, or `fn:module::name`.
    pub label: String,
    /// Hits of this result since it was stored, or since the process started if that is later.
    pub hits: u64,
    /// Bytes of its data file.
    pub bytes: u64,
    /// Time since it was computed.
    pub age: Duration,
}
