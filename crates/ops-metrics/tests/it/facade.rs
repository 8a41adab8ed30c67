//! Metrics that other crates record through the `metrics` facade, with arbitrary names and labels.

use std::collections::HashSet;

use http::Method;
use ops_metrics::LABEL_VALUES_MAX;
use ops_metrics::catalog::http_requests_total;
use ops_metrics::testing::Registry;

use crate::process::warnings_of;
use crate::{promtool, value};

mod one {
    ops_metrics::define! {
        /// Declared twice: here,
        pub(crate) counter declared_twice_total {}
    }
}
mod two {
    ops_metrics::define! {
        /// and here.
        pub(crate) counter declared_twice_total {}
    }
}

ops_metrics::define! {
    /// Metric of these tests.
    histogram measured_seconds { half: &'static str }
    /// Has the name of a sample of the other one.
    gauge measured_seconds_count {}
    /** First line,
    and a second one. */
    counter of_two_lines_total {}
    /// Reads C:\new\table with "quotes".
    counter with_backslashes_total {}
}

fn refused(registry: Registry, metric: &str, reason: &str) -> Option<f64> {
    registry.value(&format!(
        r#"ops_metrics_rejected_total{{metric="{metric}",reason="{reason}"}}"#
    ))
}

/// Checks the rules of the text format that concern more than one line.
fn assert_valid(text: &str) {
    let mut samples = HashSet::new();
    let mut types = HashSet::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let name = rest.split(' ').next().unwrap();
            assert!(types.insert(name.to_owned()), "{name} has two types");
        } else if !line.starts_with('#') {
            let series = line.rsplit_once(' ').unwrap().0;
            assert!(samples.insert(series.to_owned()), "{series} is there twice");
        }
    }
    // promtool prints naming lints in the same way, but they are not errors
    let said = promtool::check_metrics(text).unwrap_or_default();
    let errors: Vec<_> = said.iter().filter(|line| line.contains("error")).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
fn help_is_one_line_whatever_it_says() {
    let registry = Registry::new();
    registry.run(|| {
        of_two_lines_total().inc();
        with_backslashes_total().inc();
        metrics::describe_gauge!("described", "a\\b\nc");
        metrics::gauge!("described").set(1.0);
    });
    let text = registry.render();
    for line in [
        r"# HELP of_two_lines_total First line,\n    and a second one.",
        r#"# HELP with_backslashes_total Reads C:\\new\\table with "quotes"."#,
        r"# HELP described a\\b\nc",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
    }
    assert_valid(&text);
}

#[test]
fn a_metric_that_was_described_as_another_type_is_the_one_that_is_recorded() {
    let registry = Registry::new();
    let warnings = warnings_of(|| {
        registry.run(|| {
            metrics::describe_counter!("described.as.counter", "A gauge");
            metrics::describe_histogram!("described_as_histogram_seconds", "A gauge of seconds");
            metrics::describe_gauge!("waits_seconds", "A histogram");
            for _ in 0..2 {
                metrics::gauge!("described.as.counter").set(2.5);
                metrics::gauge!("described_as_histogram_seconds").set(4.0);
                metrics::histogram!("waits_seconds", "queue" => "a").record(0.2);
            }
            // free again: the metric described as a histogram never became one
            metrics::gauge!("described_as_histogram_seconds_count").set(1.0);
            metrics::counter!("described.as.counter").increment(1);
            metrics::describe_gauge!("taken", "Never recorded");
            metrics::gauge!("taken_sum").set(1.0);
            metrics::histogram!("taken").record(1.0);
        });
    });
    let text = registry.render();
    for line in [
        "# HELP described_as_counter A gauge",
        "# TYPE described_as_counter gauge",
        "described_as_counter 2.5",
        "# TYPE described_as_histogram_seconds gauge",
        "described_as_histogram_seconds 4",
        "described_as_histogram_seconds_count 1",
        "# HELP waits_seconds A histogram",
        "# TYPE waits_seconds histogram",
        r#"waits_seconds_count{queue="a"} 2"#,
        "# TYPE taken gauge",
        "taken_sum 1",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
    }
    assert_eq!(refused(registry, "described.as.counter", "name"), Some(1.0));
    assert_eq!(refused(registry, "taken", "name"), Some(1.0));
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert_valid(&text);
}

#[test]
fn labels_that_prometheus_reserves_are_renamed_and_counted() {
    let registry = Registry::new();
    let warnings = warnings_of(|| {
        registry.run(|| {
            for _ in 0..3 {
                let labels = [
                    ("__name__", "x"),
                    ("le", "1"),
                    ("quantile", "0.5"),
                    ("a.b", "c"),
                ];
                metrics::histogram!("reserved_seconds", &labels).record(0.2);
            }
            metrics::gauge!("twice", "a.b" => "1", "a_b" => "2", "empty" => "").set(3.0);
        });
    });
    let text = registry.render();
    let series = r#"reserved_seconds_count{exported_name__="x",exported_le="1",exported_quantile="0.5",a_b="c"}"#;
    assert_eq!(value(&text, series), Some(3.0), "{text}");
    assert_eq!(value(&text, r#"twice{a_b="1"}"#), Some(3.0));
    assert_eq!(refused(registry, "reserved_seconds", "labels"), Some(3.0));
    assert_eq!(refused(registry, "twice", "labels"), Some(1.0));
    assert_eq!(warnings.len(), 2, "one for each key: {warnings:?}");
    assert_valid(&text);
}

#[test]
fn of_metrics_that_share_a_name_the_first_is_rendered_and_the_other_counted_and_logged_once() {
    let registry = Registry::new();
    let warnings = warnings_of(|| {
        registry.run(|| {
            one::declared_twice_total().add(2);
            (0..5).for_each(|_| two::declared_twice_total().add(7));
            measured_seconds("a").observe(0.1);
            measured_seconds_count().set(99.0);
            for _ in 0..5 {
                metrics::counter!("http.requests.total").increment(1);
                metrics::counter!("other.crate").increment(1);
                metrics::counter!("other_crate").increment(5);
                metrics::gauge!("other.crate").set(1.0);
                metrics::gauge!("measured_seconds_sum").set(1.0);
                metrics::gauge!("later_seconds_bucket").set(1.0);
                metrics::histogram!("later_seconds").record(1.0);
            }
        });
    });
    let text = registry.render();
    assert_eq!(value(&text, "declared_twice_total"), Some(2.0));
    assert_eq!(
        value(&text, "measured_seconds_count{half=\"a\"}"),
        Some(1.0)
    );
    assert_eq!(value(&text, "measured_seconds_count"), None);
    assert_eq!(value(&text, "other_crate"), Some(5.0));
    for (metric, count) in [
        ("declared_twice_total", 1.0),
        ("measured_seconds_count", 1.0),
        ("http.requests.total", 5.0),
        ("other_crate", 5.0),
        ("other.crate", 5.0),
        ("measured_seconds_sum", 5.0),
        ("later_seconds", 5.0),
    ] {
        assert_eq!(refused(registry, metric, "name"), Some(count), "{metric}");
    }
    assert_eq!(warnings.len(), 7, "one for each name: {warnings:?}");
    assert_valid(&text);
}

#[test]
fn labels_that_the_catalog_does_not_have_are_logged_once_for_each_set_of_names() {
    let registry = Registry::new();
    let warnings = warnings_of(|| {
        registry.run(|| {
            for index in 0..10_000 {
                metrics::counter!("http_requests_total", "path" => format!("/{index}"))
                    .increment(1);
            }
            metrics::counter!("http_requests_total", "route" => "/x").increment(1);
            metrics::counter!("http_requests_total", "route" => "/y").increment(1);
            http_requests_total("/x", Method::GET, 200).inc();
        });
    });
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0].contains("accepted=\"route,method,status\""),
        "{warnings:?}"
    );
    let count = refused(registry, "http_requests_total", "labels");
    assert_eq!(count, Some(10_002.0));
}

#[test]
fn the_guard_holds_for_other_crates_too() {
    let registry = Registry::new();
    let values = if std::env::var_os("OPS_TEST_FULL").is_some() {
        500_000
    } else {
        20_000
    };
    let warnings = warnings_of(|| {
        registry.run(|| {
            for index in 0..values {
                metrics::counter!("unbounded_total", "user" => index.to_string(), "kind" => "a")
                    .increment(1);
            }
            (0..50).for_each(|index| {
                let label = metrics::Label::new(format!("label_{index}"), "a");
                metrics::gauge!("unbounded_labels", vec![label]).set(1.0);
            });
            (0..2_000).for_each(|index| metrics::gauge!(format!("name_{index}")).set(1.0));
        });
    });
    let text = registry.render();
    let series = |name: &str| text.lines().filter(|line| line.starts_with(name)).count();
    assert_eq!(
        series("unbounded_total{"),
        ops_metrics::LABEL_VALUES_MAX + 1
    );
    let other = value(&text, r#"unbounded_total{user="other",kind="a"}"#);
    let beyond = values - ops_metrics::LABEL_VALUES_MAX as u64;
    assert_eq!(other, Some(beyond as f64));
    let overflow = r#"ops_metrics_overflow_total{metric="unbounded_total",label="user"}"#;
    assert_eq!(value(&text, overflow), Some(beyond as f64));
    let size = value(&text, r#"ops_metrics_series{metric="unbounded_total"}"#);
    assert_eq!(size, Some(ops_metrics::LABEL_VALUES_MAX as f64 + 1.0));
    assert_eq!(series("unbounded_labels{"), 8);
    assert_eq!(refused(registry, "unbounded_labels", "limit"), Some(42.0));
    assert!(series("name_") <= 1_000);
    assert!(text.len() < 400_000, "{}", text.len());
    assert_eq!(warnings.len(), 3, "one for each limit: {warnings:?}");
    assert_valid(&text);
}

#[test]
fn one_metric_may_have_several_sets_of_labels() {
    let registry = Registry::new();
    registry.run(|| {
        metrics::counter!("sets_total").increment(1);
        metrics::counter!("sets_total", "a" => "1", "b" => "2").increment(2);
        metrics::counter!("sets_total", "b" => "2", "a" => "1").increment(3);
        metrics::counter!("sets_total", "b" => "2").increment(4);
    });
    let text = registry.render();
    assert_eq!(value(&text, "sets_total"), Some(1.0));
    assert_eq!(value(&text, r#"sets_total{a="1",b="2"}"#), Some(5.0));
    assert_eq!(value(&text, r#"sets_total{b="2"}"#), Some(4.0));
    assert_eq!(text.matches("# TYPE sets_total counter").count(), 1);
    assert_valid(&text);
}

#[test]
fn threads_that_record_a_label_set_first_at_the_same_time_record_one() {
    let registry = Registry::new();
    let names: Vec<String> = (0..200).map(|n| format!("first_{n}_total")).collect();
    let together = std::sync::Barrier::new(4);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                registry.run(|| {
                    for name in &names {
                        together.wait();
                        metrics::counter!(name.clone(), "a" => "1").increment(1);
                    }
                });
            });
        }
    });
    for name in &names {
        for set in ["b", "c", "d", "e", "f", "g", "h"] {
            registry.run(|| metrics::counter!(name.clone(), set => "1").increment(1));
        }
        assert_eq!(refused(registry, name, "limit"), None, "{name}");
        let first = format!(r#"{name}{{a="1"}}"#);
        assert_eq!(registry.value(&first), Some(4.0));
    }
}

#[test]
fn overflows_of_a_name_with_several_sets_of_labels_add_up() {
    let registry = Registry::new();
    let overflows = registry.run(|| {
        for user in 0..LABEL_VALUES_MAX + 100 {
            let user = user.to_string();
            metrics::counter!("several_sets_total", "user" => user.clone()).increment(1);
            metrics::counter!("several_sets_total", "user" => user, "kind" => "a").increment(1);
        }
        ops_metrics::overflows()
    });
    let [overflow] = &overflows[..] else {
        panic!("{overflows:?}");
    };
    assert_eq!(
        (overflow.metric, overflow.label),
        ("several_sets_total", "user")
    );
    assert_eq!((overflow.count, overflow.examples.len()), (200, 5));
    let counted = r#"ops_metrics_overflow_total{metric="several_sets_total",label="user"}"#;
    assert_eq!(registry.value(counted), Some(200.0));
}

#[test]
fn a_histogram_of_another_crate_has_buckets_of_its_unit() {
    let registry = Registry::new();
    registry.run(|| {
        metrics::describe_histogram!("body_size", metrics::Unit::Bytes, "Size of a body");
        metrics::describe_histogram!("batch_items", metrics::Unit::Count, "Items of a batch");
        metrics::describe_histogram!("took_ms", metrics::Unit::Seconds, "Named by mistake");
        for name in ["body_size", "upload_bytes"] {
            metrics::histogram!(name).record(50_000.0);
        }
        metrics::histogram!("batch_items").record(64.0);
        metrics::histogram!("call_milliseconds", "peer" => "a").record(30.0);
        metrics::histogram!("call_micros").record(30_000.0);
        metrics::histogram!("call_nanos").record(30_000_000.0);
        metrics::histogram!("poll_ns").record(30_000_000.0);
        metrics::histogram!("plain").record(0.03);
        metrics::histogram!("took_ms").record(0.03);
    });
    let text = registry.render();
    // the first bucket that contains the observation
    let first = |metric: &str| {
        let prefix = format!("{metric}_bucket{{");
        let mut lines = text.lines().filter(|line| line.starts_with(&prefix));
        let line = lines.find(|line| line.ends_with("} 1")).unwrap();
        line.rsplit('"').nth(1).unwrap().to_owned()
    };
    for (metric, bound) in [
        ("body_size", "65536"),
        ("upload_bytes", "65536"),
        ("batch_items", "100"),
        ("call_milliseconds", "50"),
        ("call_micros", "50000"),
        ("call_nanos", "50000000"),
        ("poll_ns", "50000000"),
        ("plain", "0.05"),
        ("took_ms", "0.05"),
    ] {
        assert_eq!(first(metric), bound, "{metric}");
    }
    assert_valid(&text);
}

#[test]
fn a_histogram_that_is_described_after_its_first_value_keeps_its_buckets() {
    let registry = Registry::new();
    registry.run(|| {
        metrics::histogram!("described_late_size", "a" => "1").record(0.03);
        metrics::describe_histogram!("described_late_size", metrics::Unit::Bytes, "Size");
        metrics::histogram!("described_late_size", "b" => "1").record(0.03);
    });
    let text = registry.render();
    let bounds = |label: &str| -> Vec<String> {
        let prefix = format!("described_late_size_bucket{{{label}=");
        let lines = text.lines().filter(|line| line.starts_with(&prefix));
        let bounds = lines.map(|line| line.rsplit('"').nth(1).unwrap().to_owned());
        bounds.collect()
    };
    assert!(bounds("a").len() > 2, "{text}");
    assert_eq!(bounds("a"), bounds("b"));
    assert_valid(&text);
}
