use serde::Serialize;

use super::shared;
use super::time::millis;
use crate::Admin;
use crate::text::redacted;

/// Maximum number of entries that are shown, those with most hits first.
const TOP: usize = 10;
/// Maximum number of past invalidations that are shown.
const INVALIDATIONS: usize = 10;

/// State of the cache of query results.
#[derive(Debug, Serialize)]
pub(crate) struct Part {
    entries: u64,
    total_size_mb: f64,
    total_size_bytes: u64,
    /// Maximum size of the files, if known.
    size_limit_bytes: Option<u64>,
    memory_bytes: u64,
    memory_limit_bytes: Option<u64>,
    hit_ratio: f64,
    hits: u64,
    memory_hits: u64,
    disk_hits: u64,
    misses: u64,
    coalesced: u64,
    bypasses: u64,
    corrupt: u64,
    not_stored: u64,
    evicted_size: u64,
    evicted_expired: u64,
    evicted_invalidated: u64,
    compute_saved_seconds: f64,
    top: Vec<Entry>,
    invalidations: Vec<Invalidation>,
    /// `None` if results stay on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    shared: Option<shared::Part>,
}

#[derive(Debug, Serialize)]
struct Entry {
    query: String,
    hits: u64,
    bytes: u64,
    age_seconds: u64,
}

#[derive(Debug, Serialize)]
struct Invalidation {
    pattern: String,
    removed: usize,
    at: u64,
    seconds_ago: u64,
}

pub(super) fn collect(admin: &Admin) -> Option<Part> {
    let cache = admin.cache_handle()?;
    let stats = cache.get_stats();
    let (size_limit_bytes, memory_limit_bytes) = admin.limits_of_cache().unzip();
    let top = cache.top(TOP).into_iter().map(|entry| Entry {
        query: entry.label,
        hits: entry.hits,
        bytes: entry.bytes,
        age_seconds: entry.age.as_secs(),
    });
    let past = cache.invalidations().into_iter().rev().take(INVALIDATIONS);
    let past = past.map(|one| Invalidation {
        pattern: redacted(&one.pattern),
        removed: one.removed,
        at: millis(one.at),
        seconds_ago: one.at.elapsed().unwrap_or_default().as_secs(),
    });
    Some(Part {
        entries: stats.entries,
        total_size_mb: stats.total_size_mb,
        total_size_bytes: stats.total_size_bytes,
        size_limit_bytes,
        memory_bytes: stats.memory_bytes,
        memory_limit_bytes,
        hit_ratio: stats.hit_ratio,
        hits: stats.hits,
        memory_hits: stats.memory_hits,
        disk_hits: stats.disk_hits,
        misses: stats.misses,
        coalesced: stats.coalesced,
        bypasses: stats.bypasses,
        corrupt: stats.corrupt,
        not_stored: stats.not_stored,
        evicted_size: stats.evicted_size,
        evicted_expired: stats.evicted_expired,
        evicted_invalidated: stats.evicted_invalidated,
        compute_saved_seconds: stats.compute_saved.as_secs_f64(),
        top: top.collect(),
        invalidations: past.collect(),
        shared: shared::collect(cache),
    })
}
