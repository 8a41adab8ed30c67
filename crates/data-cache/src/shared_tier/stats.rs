//! Counters of the tier.

use std::sync::atomic::{AtomicU64, Ordering};

/// State of the shared tier at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SharedStats {
    /// Lookups that found a result.
    pub hits: u64,
    /// Lookups that found no result, including `refused`, `expired` and `failed`.
    pub misses: u64,
    /// Objects that were refused: truncated, damaged, foreign, or sealed for another name or with another key.
    pub refused: u64,
    /// Objects that were expired, or whose creation time is in the future by this machine's clock.
    pub expired: u64,
    /// Lookups that failed or took longer than 2 s.
    pub failed: u64,
    /// Lookups that were skipped because the store failed a moment ago; not among the misses.
    pub skipped: u64,
    /// Lookups that were skipped because recent runs took less than `min_compute`; not among the misses.
    pub quick: u64,
    /// Lookups that waited for another machine that computes the result.
    pub waited: u64,
    /// Leases that this machine held.
    pub leases: u64,
    /// Leases that another machine took over while this one computed.
    pub leases_lost: u64,
    /// Queries of engines without a content id, whose results stay on this machine.
    pub without_content: u64,
    /// Results written.
    pub written: u64,
    /// Results dropped because 16 writes or 64 MiB were pending, or the store failed a moment ago.
    pub dropped: u64,
    /// Results that are larger than 64 MiB, or have no codec.
    pub unfit: u64,
    /// Writes that failed.
    pub write_failed: u64,
    /// `true` while the store is not called because it failed.
    pub is_open: bool,
    /// `true` after a write was denied or failed, until a probe succeeds: nothing is written and no lease taken.
    pub is_read_only: bool,
    /// `true` if the store supports conditional writes; otherwise there are no leases. `None` until it has responded.
    pub is_conditional: Option<bool>,
    /// Lineage, count and salt of the epoch of results without a content id; `None` if unknown.
    pub epoch: Option<String>,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) hits: AtomicU64,
    pub(super) misses: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) skipped: AtomicU64,
    pub(super) quick: AtomicU64,
    pub(super) waited: AtomicU64,
    pub(super) leases: AtomicU64,
    pub(super) leases_lost: AtomicU64,
    pub(super) without_content: AtomicU64,
    pub(super) written: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) unfit: AtomicU64,
    pub(super) write_failed: AtomicU64,
}

/// Increments a counter; returns the previous value.
pub(super) fn count(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed)
}

impl Counters {
    pub(super) fn stats(&self) -> SharedStats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SharedStats {
            hits: load(&self.hits),
            misses: load(&self.misses),
            refused: load(&self.refused),
            expired: load(&self.expired),
            failed: load(&self.failed),
            skipped: load(&self.skipped),
            quick: load(&self.quick),
            waited: load(&self.waited),
            leases: load(&self.leases),
            leases_lost: load(&self.leases_lost),
            without_content: load(&self.without_content),
            written: load(&self.written),
            dropped: load(&self.dropped),
            unfit: load(&self.unfit),
            write_failed: load(&self.write_failed),
            ..SharedStats::default()
        }
    }
}
