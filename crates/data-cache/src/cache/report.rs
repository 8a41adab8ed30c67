//! Statistics and metrics of a cache.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Cache;
use crate::sql;
use crate::stats::{Miss, Stats, TopEntry};

impl Cache {
    /// Returns statistics of the cache's contents and activity.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let cache = data_cache::Cache::open(dir.path())?;
    /// let stats = cache.get_stats();
    /// assert_eq!((stats.entries, stats.total_size_mb, stats.hit_ratio), (0, 0.0, 0.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_stats(&self) -> Stats {
        let inner = &self.inner;
        inner.index_files();
        inner.notice_other_processes();
        if let Some(disk) = &inner.disk {
            inner.follow_occasionally(disk);
        }
        let counters = &inner.counters;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (memory_hits, disk_hits) = (load(&counters.memory_hits), load(&counters.disk_hits));
        // a disabled cache has no misses
        let counted = counters
            .by_miss()
            .filter(|(miss, _)| *miss != Miss::Disabled);
        let misses: u64 = counted.map(|(_, count)| count).sum();
        let corrupt = counters.by_miss().find(|(miss, _)| *miss == Miss::Corrupt);
        let shared_hits = load(&counters.shared_hits);
        let hits = memory_hits + disk_hits + shared_hits;
        let bytes = inner.index.bytes();
        Stats {
            entries: inner.index.live(inner.now()),
            total_size_bytes: bytes,
            total_size_mb: bytes as f64 / 1_048_576.0,
            memory_bytes: inner.memory.size().0,
            hit_ratio: if hits + misses == 0 {
                0.0
            } else {
                hits as f64 / (hits + misses) as f64
            },
            hits,
            memory_hits,
            disk_hits,
            shared_hits,
            stale_hits: load(&counters.stale),
            misses,
            coalesced: load(&counters.coalesced),
            bypasses: counters.by_bypass().map(|(_, count)| count).sum(),
            corrupt: corrupt.map_or(0, |(_, count)| count),
            not_stored: load(&counters.not_stored),
            writes_paused: inner.disk_health.is_paused(inner.now_millis()),
            evicted_size: load(&counters.evicted_size),
            evicted_expired: load(&counters.evicted_expired),
            evicted_invalidated: load(&counters.evicted_invalidated),
            compute_saved: Duration::from_millis(load(&counters.saved_ms)),
        }
    }

    /// Returns at most `count` entries, those with the most hits, most first.
    pub fn top(&self, count: usize) -> Vec<TopEntry> {
        let now = self.inner.now();
        let entries = self.inner.index.top(count, now).into_iter();
        entries
            .map(|entry| TopEntry {
                label: sql::shown_label(&entry.label).into_owned(),
                hits: entry.usage.hits.load(Ordering::Relaxed),
                bytes: entry.bytes,
                age: Duration::from_secs(now.saturating_sub(entry.created_at)),
            })
            .collect()
    }

    /// Publishes the totals of the overview's cache metrics; each label value is present from the start.
    #[cfg(feature = "metrics")]
    pub fn publish_metrics(&self) {
        use metrics::{counter, gauge};
        let stats = self.get_stats();
        counter!("cache_hits_total", "cache_type" => "query").absolute(stats.hits);
        counter!("cache_misses_total", "cache_type" => "query").absolute(stats.misses);
        let size = match self.inner.disk {
            Some(_) => stats.total_size_bytes,
            // without files, the size is that of memory
            None => stats.memory_bytes,
        };
        gauge!("cache_size_bytes", "cache_type" => "query").set(size as f64);
        counter!("cache_tier_hits_total", "tier" => "memory").absolute(stats.memory_hits);
        counter!("cache_tier_hits_total", "tier" => "disk").absolute(stats.disk_hits);
        self.inner.publish_shared_metrics();
        counter!("cache_stale_served_total").absolute(stats.stale_hits);
        for (reason, count) in [
            ("size", stats.evicted_size),
            ("expired", stats.evicted_expired),
            ("invalidated", stats.evicted_invalidated),
        ] {
            counter!("cache_evictions_total", "cache_type" => "query", "reason" => reason)
                .absolute(count);
        }
        for (miss, count) in self.inner.counters.by_miss() {
            counter!("cache_miss_reason_total", "reason" => miss.as_str()).absolute(count);
        }
        for (bypass, count) in self.inner.counters.by_bypass() {
            counter!("cache_bypass_total", "reason" => bypass.as_str()).absolute(count);
        }
        #[cfg(feature = "http")]
        crate::http_stats::publish_metrics();
    }
}
