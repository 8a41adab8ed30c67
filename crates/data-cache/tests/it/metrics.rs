use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;

use bytes::Bytes;
use data_cache::http::CacheLayer;
use data_cache::{Cache, Config, Params, compute_etag};
use http::{Request, Response};
use http_body_util::Full;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tower::{Layer, ServiceExt, service_fn};

use crate::batches::numbers;
use crate::child::Process;

/// Returns the metrics of a cache, by name and label values.
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
        "cache_stale_served_total ",
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
    assert_eq!(cache.clear().unwrap(), 1);
    assert_eq!(
        published(&cache)["cache_evictions_total query invalidated"],
        1.0
    );
}

#[test]
fn a_cache_without_files_is_as_large_as_its_memory() {
    let config = Config::from_yaml("c", "query_cache: {max_size_mb: 0}").unwrap();
    let cache = Cache::open_with("nowhere", &config).unwrap();
    assert_eq!(published(&cache)["cache_size_bytes query"], 0.0);
    cache
        .set("SELECT 1", &[numbers(&[1])], &Params::new(), None)
        .unwrap();
    let size = published(&cache)["cache_size_bytes query"];
    assert_eq!(size, cache.get_stats().memory_bytes as f64);
    assert!(size > 0.0);
}

/// Role of a child, since the counters of HTTP responses are process-wide.
pub(crate) fn count_http(dir: &Path) {
    let cache = Cache::open(dir).unwrap();
    let layer = CacheLayer::new(&Config::default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let counts = |condition: Option<&str>| {
        let handler = service_fn(|_: Request<()>| async {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("body"))))
        });
        let mut request = Request::get("/x");
        if let Some(condition) = condition {
            request = request.header("if-none-match", condition);
        }
        let answer = layer.layer(handler).oneshot(request.body(()).unwrap());
        runtime.block_on(answer).unwrap();
        let published = published(&cache);
        (
            published["cache_hits_total http"],
            published["cache_misses_total http"],
        )
    };
    assert_eq!(
        counts(None),
        (0.0, 0.0),
        "nothing was there that a 304 could spare"
    );
    assert_eq!(counts(Some("\"old\"")), (0.0, 1.0));
    assert_eq!(counts(Some(&compute_etag("body"))), (1.0, 1.0));
    assert_eq!(counts(None), (1.0, 1.0));
    println!("counted");
}

#[test]
fn a_miss_of_http_is_a_condition_that_did_not_match() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Process::start("count", dir.path());
    assert!(child.wait_for("counted").is_some(), "the child panicked");
    child.succeeds();
}
