//! Counters of one cache.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// Reason why a lookup found nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Miss {
    /// There is no entry.
    Absent,
    /// Its time is over, or its creation lies ahead of the clock.
    Expired,
    /// Its files are damaged; they are removed.
    Corrupt,
    /// Its files cannot be read.
    Io,
    /// The cache is disabled.
    Disabled,
}

impl Miss {
    /// Every reason.
    pub const ALL: &'static [Self] = &[
        Self::Absent,
        Self::Expired,
        Self::Corrupt,
        Self::Io,
        Self::Disabled,
    ];

    /// The label value of `cache_miss_reason_total`.
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

/// Reason why a query goes past the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Bypass {
    /// It asks for the time, for chance, or for the state of a session.
    Nondeterministic,
    /// It reads files or other sources whose changes nobody sees.
    Outside,
    /// It reads catalogs of the engine.
    Catalog,
    /// Its text is not understood well enough.
    UnusualText,
    /// A table that it may read is being written.
    WriteRunning,
    /// The engine cannot tell the state of its data.
    UnknownState,
    /// It is a PIVOT, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN.
    Statement,
    /// It is asked while its own answer is computed.
    Reentrant,
    /// The engine does not classify statements, and the query did not ask for a time by `ttl`.
    Unclassified,
}

impl Bypass {
    /// Every reason.
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

    /// The label value of `cache_bypass_total`.
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

/// The state of a cache at one moment.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Entries whose time is not over.
    pub entries: u64,
    /// Bytes of data files.
    pub total_size_bytes: u64,
    /// The same in MiB.
    pub total_size_mb: f64,
    /// Bytes of the results in memory.
    pub memory_bytes: u64,
    /// Hits ÷ (hits + misses); 0.0 before the first lookup.
    pub hit_ratio: f64,
    /// Lookups answered.
    pub hits: u64,
    /// Hits from memory.
    pub memory_hits: u64,
    /// Hits from files.
    pub disk_hits: u64,
    /// Hits from the bucket that machines share.
    pub shared_hits: u64,
    /// Hits whose time was over, by queries with `stale_while`.
    pub stale_hits: u64,
    /// Lookups not answered.
    pub misses: u64,
    /// Lookups that waited for the answer of another caller; each is a hit or a miss as that one is.
    pub coalesced: u64,
    /// Queries that went past the cache: neither hit nor miss.
    pub bypasses: u64,
    /// Damaged entries met and removed.
    pub corrupt: u64,
    /// Results that were not stored: no space, too large, invalidated meanwhile, …
    pub not_stored: u64,
    /// Files are not written for 30 s, since the disk was full or failed.
    pub writes_paused: bool,
    /// Entries removed for space.
    pub evicted_size: u64,
    /// Entries removed because their time was over.
    pub evicted_expired: u64,
    /// Entries removed by `invalidate`, `invalidate_table` or `clear`.
    pub evicted_invalidated: u64,
    /// Time that computing would have taken where the cache answered, as far as it was measured.
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
    /// Entries removed.
    pub removed: usize,
}

/// An entry, for a page that shows what is asked most.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TopEntry {
    /// The statement without literals, or `fn:module::name`.
    pub label: String,
    /// Hits of this result since it was stored, or since the process began if that is later.
    pub hits: u64,
    /// Bytes of its data file.
    pub bytes: u64,
    /// Time since it was computed.
    pub age: Duration,
}
