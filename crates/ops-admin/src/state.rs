use serde_json::Value;
#[cfg(any(
    feature = "log",
    feature = "trace",
    feature = "metrics",
    feature = "secrets",
    feature = "cache"
))]
use serde_json::json;

use crate::Admin;

/// Adds what each room shows.
pub(crate) fn fill(admin: &Admin, rooms: &mut Value) {
    let _ = (admin, &rooms);
    #[cfg(feature = "metrics")]
    {
        rooms["metrics"] = sparklines();
    }
    #[cfg(feature = "cache")]
    if let Some(cache) = admin.cache_handle() {
        rooms["cache"] = cache_stats(cache);
    }
    #[cfg(feature = "trace")]
    {
        let traces = ops_trace::recent();
        rooms["recent_traces"] = waterfalls(&traces.recent);
        rooms["slow_traces"] = waterfalls(&traces.slow);
        rooms["failed_traces"] = waterfalls(&traces.errors);
        rooms["trace_export"] = json!(ops_trace::stats());
    }
    #[cfg(feature = "secrets")]
    if let Some(secrets) = admin.secrets_handle() {
        rooms["secrets"] = json!(secrets.report().secrets);
    }
    #[cfg(feature = "log")]
    {
        let stats = ops_log::stats();
        rooms["log_levels"] = json!({
            "level": ops_log::level().as_str(), "written": stats.written, "dropped": stats.dropped,
        });
        rooms["recent_lines"] = json!(ops_log::recent(50));
    }
}

#[cfg(feature = "metrics")]
fn sparklines() -> Value {
    ops_metrics::sparklines()
        .into_iter()
        .map(|line| {
            let recent: Vec<f64> = line
                .points
                .iter()
                .map(|point| point.unwrap_or(0.0))
                .collect();
            json!({ "name": line.name, "latest": line.points.last(), "recent": recent })
        })
        .collect()
}

#[cfg(feature = "cache")]
fn cache_stats(cache: &data_cache::Cache) -> Value {
    let stats = cache.get_stats();
    let top: Value = cache
        .top(10)
        .into_iter()
        .map(|entry| {
            json!({
                "query": entry.label, "hits": entry.hits, "bytes": entry.bytes, "age_seconds": entry.age.as_secs(),
            })
        })
        .collect();
    let past = cache.invalidations().into_iter().rev().take(10);
    let invalidations: Value = past
        .map(|one| {
            json!({
                "pattern": one.pattern, "removed": one.removed,
                "seconds_ago": one.at.elapsed().unwrap_or_default().as_secs(),
            })
        })
        .collect();
    json!({
        "entries": stats.entries,
        "total_size_mb": stats.total_size_mb,
        "hit_ratio": stats.hit_ratio,
        "hits": stats.hits,
        "memory_hits": stats.memory_hits,
        "disk_hits": stats.disk_hits,
        "misses": stats.misses,
        "bypasses": stats.bypasses,
        "memory_bytes": stats.memory_bytes,
        "top": top,
        "invalidations": invalidations,
    })
}

/// The newest of them with their spans as bars, in microseconds from the start of their trace.
#[cfg(feature = "trace")]
fn waterfalls(traces: &[ops_trace::RecentTrace]) -> Value {
    let micros =
        |duration: std::time::Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let trace = |trace: &ops_trace::RecentTrace| {
        let spans: Value = trace
            .waterfall()
            .iter()
            .map(|bar| {
                let span = bar.span;
                json!({
                    "name": span.name, "depth": bar.depth, "error": span.error,
                    "start_us": micros(bar.offset), "duration_us": micros(span.duration),
                })
            })
            .collect();
        json!({
            "trace_id": trace.trace_id, "duration_us": micros(trace.duration), "error": trace.error,
            "spans": spans, "spans_left_out": trace.spans_left_out,
        })
    };
    traces.iter().take(20).map(trace).collect()
}
