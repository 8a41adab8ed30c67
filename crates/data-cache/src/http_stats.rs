//! Counters of HTTP responses, process-wide.

use std::sync::atomic::{AtomicU64, Ordering};

/// Requests answered with 304.
static HITS: AtomicU64 = AtomicU64::new(0);
/// Conditional requests whose condition did not match.
static MISSES: AtomicU64 = AtomicU64::new(0);

pub(crate) fn count_hit() {
    HITS.fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn count_miss() {
    MISSES.fetch_add(1, Ordering::Relaxed);
}

/// Sets the metrics with `cache_type="http"`: hits are 304 responses. The size is 0, since clients hold the bytes.
#[cfg(feature = "metrics")]
pub(crate) fn publish_metrics() {
    use metrics::{counter, gauge};
    counter!("cache_hits_total", "cache_type" => "http").absolute(HITS.load(Ordering::Relaxed));
    counter!("cache_misses_total", "cache_type" => "http").absolute(MISSES.load(Ordering::Relaxed));
    gauge!("cache_size_bytes", "cache_type" => "http").set(0.0);
    for reason in ["size", "expired", "invalidated"] {
        counter!("cache_evictions_total", "cache_type" => "http", "reason" => reason).absolute(0);
    }
}
