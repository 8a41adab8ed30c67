use std::collections::BTreeMap;

use data_cache::{Cache, Params};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};

use crate::batches::numbers;

/// The metrics of a cache, by name and label values.
fn published(cache: &Cache) -> BTreeMap<String, f64> {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || cache.publish_metrics());
    let snapshot = snapshotter.snapshot().into_vec().into_iter();
    snapshot
        .map(|(key, _, _, value)| {
            let labels: Vec<_> = key.key().labels().map(|label| label.value()).collect();
            let value = match value {
                DebugValue::Counter(count) => count as f64,
                DebugValue::Gauge(value) => value.into_inner(),
                DebugValue::Histogram(_) => panic!("no histogram is published"),
            };
            (format!("{} {}", key.key().name(), labels.join(" ")), value)
        })
        .collect()
}

#[test]
fn every_metric_is_there_from_the_start_and_counts() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let before = published(&cache);
    for name in [
        "cache_hits_total query",
        "cache_misses_total query",
        "cache_size_bytes query",
        "cache_hits_total http",
        "cache_misses_total http",
        "cache_size_bytes http",
        "cache_tier_hits_total memory",
        "cache_tier_hits_total disk",
        "cache_evictions_total query size",
        "cache_evictions_total query expired",
        "cache_evictions_total query invalidated",
        "cache_miss_reason_total absent",
        "cache_miss_reason_total corrupt",
        "cache_bypass_total nondeterministic",
        "cache_bypass_total write_running",
    ] {
        assert!(before.contains_key(name), "{name} is missing in {before:?}");
        if !name.contains("http") {
            assert_eq!(before[name], 0.0, "{name}");
        }
    }
    let none = Params::new();
    assert!(cache.get("SELECT 1", &none).is_none());
    cache
        .set("SELECT 1", &[numbers(&[1])], &none, None)
        .unwrap();
    assert!(cache.get("SELECT 1", &none).is_some());
    let after = published(&cache);
    assert_eq!(after["cache_hits_total query"], 1.0);
    assert_eq!(after["cache_tier_hits_total memory"], 1.0);
    assert_eq!(after["cache_misses_total query"], 1.0);
    assert_eq!(after["cache_miss_reason_total absent"], 1.0);
    assert!(after["cache_size_bytes query"] > 0.0);
    assert_eq!(cache.clear(), 1);
    assert_eq!(
        published(&cache)["cache_evictions_total query invalidated"],
        1.0
    );
}
