use std::collections::{BTreeMap, HashSet};

use http::Method;
use ops_metrics::Config;
use ops_metrics::catalog::{
    cache_misses_total, cache_size_bytes, duckdb_query_seconds, http_request_latency,
    http_requests_total, process_cpu_seconds_total,
};
use ops_metrics::testing::Registry;
use proptest::prelude::*;

use crate::{promtool, rendered, value};

ops_metrics::labels! { enum Queue { Mail = "mail", Report = "report" } }

ops_metrics::define! {
    /// Metrics of this test.
    catalog MINE;
    /// Jobs done.
    counter jobs_total { queue: Queue }
    /// Observed by a property test.
    histogram observed_seconds buckets [0.5, 1.0, 2.5] { half: &'static str }
}

#[test]
fn every_metric_of_the_catalog_is_there_before_anything_happened() {
    let config = Config::new()
        .catalog(MINE)
        .build_info("0.1.0", "abc123", "1.95.0");
    let text = Registry::with(&config).unwrap().render();
    for family in ops_metrics::CATALOG.iter().chain(MINE) {
        let definition = family().definition();
        let help = format!("# HELP {} {}\n", definition.name, definition.help());
        assert_eq!(text.matches(&help).count(), 1, "{help}");
    }
    assert_eq!(value(&text, r#"jobs_total{queue="report"}"#), Some(0.0));
    assert!(text.contains(r#"cache_evictions_total{cache_type="http",reason="expired"}"#));
    let build = r#"build_info{version="0.1.0",git_sha="abc123",rustc="1.95.0"}"#;
    assert_eq!(value(&text, build), Some(1.0));
}

#[test]
fn two_renders_have_their_lines_in_the_same_order() {
    let registry = Registry::new();
    registry.run(|| {
        for route in ["/b", "/a", "/c"] {
            http_requests_total(route, Method::GET, 200).inc();
        }
    });
    let series = |text: &str| -> Vec<String> {
        let samples = text.lines().filter(|line| !line.is_empty());
        samples
            .map(|line| line.rsplit_once(' ').unwrap().0.to_owned())
            .collect()
    };
    let (first, second) = (series(&registry.render()), series(&registry.render()));
    assert_eq!(first, second);
    let routes: Vec<_> = first
        .iter()
        .filter(|line| line.contains("route="))
        .collect();
    assert!(
        routes[0].contains("/a") && routes[2].contains("/c"),
        "{routes:?}"
    );
}

#[test]
fn a_timer_observes_when_it_is_dropped_even_by_a_panic() {
    let registry = Registry::new();
    let panicked = std::panic::catch_unwind(|| {
        registry.run(|| {
            let _timer = duckdb_query_seconds("TIMED").start_timer();
            std::panic::resume_unwind(Box::new("on purpose"));
        });
    });
    assert!(panicked.is_err());
    let count = r#"duckdb_query_seconds_count{query_type="TIMED"}"#;
    assert_eq!(registry.value(count), Some(1.0));
}

#[test]
fn what_cannot_be_added_up_is_refused_and_counted() {
    let registry = Registry::new();
    registry.run(|| {
        let seconds = duckdb_query_seconds("REFUSED");
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0] {
            seconds.observe(value);
        }
        seconds.observe(0.25);
        assert_eq!((seconds.count(), seconds.sum()), (1, 0.25));
        cache_size_bytes("query").set(7.0);
        cache_size_bytes("query").set(f64::NAN);
        cache_size_bytes("query").add(f64::INFINITY);
    });
    let refused = |metric: &str, reason: &str| {
        registry.value(&format!(
            r#"ops_metrics_rejected_total{{metric="{metric}",reason="{reason}"}}"#
        ))
    };
    assert_eq!(refused("duckdb_query_seconds", "non_finite"), Some(3.0));
    assert_eq!(refused("duckdb_query_seconds", "negative"), Some(1.0));
    assert_eq!(refused("cache_size_bytes", "non_finite"), Some(2.0));
    assert_eq!(
        registry.value(r#"cache_size_bytes{cache_type="query"}"#),
        Some(7.0)
    );
}

#[test]
fn a_negative_number_that_was_cast_lowers_no_counter_and_is_counted() {
    let registry = Registry::new();
    let minus_one = u64::MAX;
    registry.run(|| {
        let misses = cache_misses_total("query");
        misses.add(minus_one);
        assert_eq!(misses.get(), 0);
        misses.add(5);
        misses.add(minus_one);
        misses.absolute(minus_one);
        assert_eq!(misses.get(), 5);
        metrics::counter!("jobs_total").increment(2);
        metrics::counter!("jobs_total").increment(minus_one);
        metrics::counter!("jobs_total").absolute(minus_one);
    });
    assert_eq!(registry.value("jobs_total"), Some(2.0));
    for (metric, count) in [("cache_misses_total", 3.0), ("jobs_total", 2.0)] {
        let refused =
            format!(r#"ops_metrics_rejected_total{{metric="{metric}",reason="negative"}}"#);
        assert_eq!(registry.value(&refused), Some(count), "{metric}");
    }
}

#[test]
fn what_would_make_a_sum_infinite_is_refused_and_counted() {
    let registry = Registry::new();
    registry.run(|| {
        let seconds = duckdb_query_seconds("LARGEST");
        for value in [f64::MAX, f64::MAX, 1.0] {
            seconds.observe(value);
            cache_size_bytes("query").add(value);
        }
        assert_eq!((seconds.count(), seconds.sum()), (2, f64::MAX));
        assert_eq!(cache_size_bytes("query").get(), f64::MAX);
    });
    for metric in ["duckdb_query_seconds", "cache_size_bytes"] {
        let refused =
            format!(r#"ops_metrics_rejected_total{{metric="{metric}",reason="non_finite"}}"#);
        assert_eq!(registry.value(&refused), Some(1.0), "{metric}");
    }
}

#[test]
fn facade_calls_land_in_the_catalog_or_beside_it() {
    let registry = Registry::new();
    registry.run(|| {
        metrics::counter!("duckdb_query_total", "query_type" => "FACADE").absolute(7);
        metrics::describe_counter!("another_crates_total", "Of another crate");
        metrics::counter!("another_crates_total").increment(3);
        metrics::histogram!("another_crates_seconds").record(0.2);
        metrics::histogram!("another_crates_seconds").record(f64::NAN);
    });
    let text = registry.render();
    let facade = r#"duckdb_query_total{query_type="FACADE"}"#;
    assert_eq!(value(&text, facade), Some(7.0));
    assert_eq!(text.matches("# TYPE duckdb_query_total").count(), 1);
    assert_eq!(value(&text, "another_crates_total"), Some(3.0));
    let bucket = r#"another_crates_seconds_bucket{le="+Inf"}"#;
    assert_eq!(value(&text, bucket), Some(1.0));
    assert_eq!(value(&text, "another_crates_seconds_sum"), Some(0.2));
}

#[test]
fn facade_calls_with_other_labels_than_the_catalogs_are_refused_and_counted() {
    let registry = Registry::new();
    registry.run(|| {
        metrics::counter!("duckdb_query_total", "kind" => "SELECT").increment(1);
        metrics::gauge!("duckdb_query_total", "query_type" => "SELECT").set(1.0);
    });
    let refused = r#"ops_metrics_rejected_total{metric="duckdb_query_total",reason="labels"}"#;
    assert_eq!(registry.value(refused), Some(2.0));
}

#[test]
fn a_total_of_time_is_a_counter_in_seconds() {
    let registry = Registry::new();
    registry.run(|| process_cpu_seconds_total().add(std::time::Duration::from_millis(1250)));
    let text = registry.render();
    assert_eq!(value(&text, "process_cpu_seconds_total"), Some(1.25));
    assert!(text.contains("# TYPE process_cpu_seconds_total counter"));
}

#[test]
fn the_text_has_no_series_twice_one_type_for_each_metric_and_buckets_that_add_up() {
    rendered();
    http_request_latency("/consistent", Method::GET).observe(0.3);
    let text = rendered();
    let mut seen = HashSet::new();
    let samples = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    for (series, _) in samples.map(|line| line.rsplit_once(' ').unwrap()) {
        assert!(seen.insert(series), "{series} is there twice");
    }
    let mut types = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        assert_eq!(types.insert(name, kind), None, "{name} has two types");
    }
}

proptest! {
    #[test]
    fn buckets_are_cumulative_and_agree_with_count_and_sum(
        values in prop::collection::vec(0.0_f64..4.0, 0..50),
    ) {
        let registry = Registry::new();
        registry.run(|| values.iter().for_each(|value| observed_seconds("a").observe(*value)));
        let snapshot = registry.snapshot();
        let bucket = |le: &str| snapshot.value(&format!(r#"observed_seconds_bucket{{half="a",le="{le}"}}"#));
        let at_most = |bound: f64| values.iter().filter(|value| **value <= bound).count() as f64;
        if values.is_empty() {
            return Ok(());
        }
        for (le, bound) in [("0.5", 0.5), ("1", 1.0), ("2.5", 2.5), ("+Inf", f64::INFINITY)] {
            prop_assert_eq!(bucket(le), Some(at_most(bound)));
        }
        prop_assert_eq!(snapshot.value(r#"observed_seconds_count{half="a"}"#), Some(values.len() as f64));
        let sum = snapshot.value(r#"observed_seconds_sum{half="a"}"#).unwrap();
        prop_assert!((sum - values.iter().sum::<f64>()).abs() < 1e-9);
    }
}

#[test]
fn promtool_reports_nothing_about_the_built_in_metrics() {
    let registry = Registry::new();
    registry.run(|| http_requests_total("/", Method::GET, 200).inc());
    if let Some(said) = promtool::check_metrics(&registry.render()) {
        assert_eq!(said, <[String; 0]>::default());
    }
}
