use std::sync::atomic::{AtomicBool, Ordering};

use http::Method;
use ops_metrics::catalog::http_requests_total;
use ops_metrics::testing::Registry;
use ops_metrics::{Config, LABEL_VALUES_MAX};

use crate::{rendered, value};

ops_metrics::define! {
    /// Metrics of this test.
    catalog GUARDED;
    /// Metric of the cardinality test.
    counter guarded_total { provider: &'static str, status: u16 }
    /// With five labels: more than are found by identity.
    counter wide_total { a: &'static str, b: &'static str, c: &'static str, d: &'static str, e: &'static str }
    /// Metric of the test with threads.
    counter contended_total { half: &'static str }
    /// Metric of the test with threads.
    histogram contended_seconds { half: &'static str }
}

fn increments() -> u64 {
    if std::env::var_os("OPS_TEST_FULL").is_some() {
        1_000_000
    } else {
        50_000
    }
}

fn count(provider: &str, status: &'static str) {
    metrics::counter!("guarded_total", "provider" => provider.to_owned(), "status" => status)
        .increment(1);
}

fn guarded() -> Registry {
    Registry::with(&Config::new().catalog(GUARDED)).unwrap()
}

#[test]
fn the_label_that_overflows_becomes_other_and_the_others_stay() {
    let registry = guarded();
    registry.run(|| {
        for index in 0..LABEL_VALUES_MAX + 50 {
            count(&format!("provider-{index}"), "500");
        }
        assert_eq!(guarded_total::family().len(), LABEL_VALUES_MAX + 1);
    });
    let text = registry.render();
    assert_eq!(
        value(&text, r#"guarded_total{provider="other",status="500"}"#),
        Some(50.0)
    );
    assert_eq!(
        value(
            &text,
            r#"guarded_total{provider="provider-199",status="500"}"#
        ),
        Some(1.0)
    );
    let overflow = r#"ops_metrics_overflow_total{metric="guarded_total",label="provider"}"#;
    assert_eq!(value(&text, overflow), Some(50.0));
    let untouched = r#"ops_metrics_overflow_total{metric="guarded_total",label="status"}"#;
    assert_eq!(value(&text, untouched), Some(0.0));
}

#[test]
fn the_worst_labels_can_be_read_with_examples_of_what_was_refused() {
    let registry = Registry::with(&Config::new().catalog(GUARDED).label_values_max(3)).unwrap();
    let long = "x".repeat(200);
    let (overflows, cardinality) = registry.run(|| {
        for provider in ["a", "b", "c", "d", "e", "d", &long] {
            count(provider, "200");
        }
        (ops_metrics::overflows(), ops_metrics::cardinality())
    });
    let worst = &overflows[0];
    assert_eq!(
        (worst.metric, worst.label, worst.count),
        ("guarded_total", "provider", 4)
    );
    assert_eq!(worst.examples, ["d", "e", &"x".repeat(64)]);
    let guarded = cardinality
        .iter()
        .find(|one| one.metric == "guarded_total")
        .unwrap();
    assert_eq!(guarded.series, 4);
    assert_eq!(guarded.labels, [("provider", 3, 3), ("status", 1, 3)]);
}

#[test]
fn a_first_overflow_warns_once_for_each_label() {
    let warnings = crate::process::warnings_of(|| {
        let registry = Registry::with(&Config::new().catalog(GUARDED).label_values_max(1)).unwrap();
        registry.run(|| (0..20).for_each(|index| count(&format!("warned-{index}"), "200")));
    });
    let logged = warnings
        .iter()
        .filter(|line| line.contains("label_overflow"))
        .count();
    assert_eq!(logged, 1, "{warnings:?}");
    assert!(
        warnings[0].contains("warned-1") && warnings[0].contains("guarded_total"),
        "{warnings:?}"
    );
}

#[test]
fn a_cap_can_be_set_for_one_label_alone() {
    let config = Config::new()
        .catalog(GUARDED)
        .label_values_max_of("guarded_total", "provider", 1);
    let registry = Registry::with(&config).unwrap();
    registry.run(|| {
        for (provider, status) in [("a", "200"), ("b", "201"), ("b", "202")] {
            count(provider, status);
        }
    });
    let text = registry.render();
    for series in [
        r#"provider="a",status="200""#,
        r#"provider="other",status="201""#,
        r#"provider="other",status="202""#,
    ] {
        assert_eq!(
            value(&text, &format!("guarded_total{{{series}}}")),
            Some(1.0),
            "{series}"
        );
    }
}

#[test]
fn a_metric_that_is_full_takes_known_series_only() {
    let registry = Registry::with(&Config::new().catalog(GUARDED).series_max(2)).unwrap();
    registry.run(|| {
        for provider in ["a", "b", "c", "d", "a"] {
            count(provider, "200");
        }
    });
    let text = registry.render();
    assert_eq!(
        value(&text, r#"guarded_total{provider="a",status="200"}"#),
        Some(2.0)
    );
    assert_eq!(
        value(&text, r#"guarded_total{provider="other",status="other"}"#),
        Some(2.0)
    );
}

/// The metrics about metrics keep all series: their overflows would cause overflows at the next scrape.
#[test]
fn a_low_limit_cuts_off_none_of_the_metrics_about_metrics() {
    let config = Config::new().catalog(GUARDED);
    let registry = Registry::with(&config.label_values_max(5).series_max(10)).unwrap();
    registry.run(|| {
        for index in 0..20 {
            count(&format!("low-{index}"), "200");
        }
        metrics::counter!("").increment(1);
    });
    registry.render();
    let text = registry.render();
    for (label, count) in [("provider", 15.0), ("status", 0.0)] {
        let series =
            format!(r#"ops_metrics_overflow_total{{metric="guarded_total",label="{label}"}}"#);
        assert_eq!(value(&text, &series), Some(count), "{text}");
    }
    let wide = r#"ops_metrics_series{metric="wide_total"}"#;
    assert_eq!(value(&text, wide), Some(0.0), "{text}");
    let unnamed = r#"ops_metrics_rejected_total{metric="other",reason="name"}"#;
    assert_eq!(value(&text, unnamed), Some(1.0), "{text}");
    let own = registry.run(ops_metrics::overflows);
    let own = own
        .iter()
        .find(|one| one.metric.starts_with("ops_metrics_"));
    assert_eq!(own, None);
}

#[test]
fn limits_that_make_no_sense_are_refused_with_what_is_accepted() {
    let logged = |config: Config| Registry::with(&config).unwrap_err().to_string();
    let of_route = Config::new().label_values_max_of("http_requests_total", "route", 0);
    for (config, key) in [
        (Config::new().label_values_max(0), "label_values_max"),
        (Config::new().series_max(0), "series_max"),
        (of_route, "label_values_max_of.http_requests_total.route"),
    ] {
        let zero = logged(config);
        let why = format!(": {key} is 0, which would refuse everything; expected at least 1");
        assert!(zero.ends_with(&why), "{zero}");
    }
    let label = logged(Config::new().label_values_max_of("http_requests_total", "path", 5));
    assert!(
        label.ends_with(
            "http_requests_total has no label path; its labels are: route, method, status"
        ),
        "{label}"
    );
    let metric = logged(Config::new().label_values_max_of("http_total", "route", 5));
    assert!(
        metric.ends_with("unknown metric http_total; check that its catalog is registered"),
        "{metric}"
    );
}

#[test]
fn limits_can_be_a_file_and_keys_that_are_not_known_are_refused() {
    let file = "series_max: 100\nlabel_values_max_of: {guarded_total: {provider: 1}}";
    let config: Config = serde_yaml::from_str(file).unwrap();
    let registry = Registry::with(&config.catalog(GUARDED)).unwrap();
    registry.run(|| {
        count("a", "200");
        count("b", "200");
    });
    let series = r#"guarded_total{provider="other",status="200"}"#;
    assert_eq!(value(&registry.render(), series), Some(1.0));
    let error = serde_yaml::from_str::<Config>("series_max: 5\nseries: 7").unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("unknown field `series`, expected one of `label_values_max`")
            && error.contains("line 2"),
        "{error}"
    );
}

#[test]
fn a_value_of_a_file_that_is_not_accepted_is_refused_with_its_key_and_line() {
    for (file, key, line, expected) in [
        (
            "created_samples: true\nseries_max: 0",
            "series_max",
            2,
            "`0`, expected at least 1",
        ),
        (
            "series_max: 5\n\nlabel_values_max: 0",
            "label_values_max",
            3,
            "`0`, expected at least 1",
        ),
        (
            "label_values_max_of:\n  guarded_total:\n    status: 9\n    provider: 0",
            "label_values_max_of.guarded_total.provider",
            4,
            "`0`, expected at least 1",
        ),
        (
            "buckets_of:\n  a_seconds: [1]\n  b_seconds: [2, 1]",
            "buckets_of.b_seconds",
            3,
            "[2.0, 1.0]; expected 1 to 40 finite, ascending numbers above 0",
        ),
    ] {
        let error = serde_yaml::from_str::<Config>(file).unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with(&format!("{key}: ")), "{error}");
        assert!(error.contains(expected), "{error}");
        assert!(error.contains(&format!(" at line {line} ")), "{error}");
    }
}

#[test]
fn any_utf8_up_to_256_bytes_is_a_value_and_is_escaped() {
    let registry = guarded();
    let values = [
        ("a\nb", r"a\nb"),
        ("quo\"te", r#"quo\"te"#),
        (r"back\slash", r"back\\slash"),
        ("/zürich", "/zürich"),
        ("🦀", "🦀"),
        (&"long".repeat(64), &"long".repeat(64)),
    ];
    registry.run(|| values.iter().for_each(|(value, _)| count(value, "201")));
    let text = registry.render();
    for (_, escaped) in values {
        let series = format!(r#"guarded_total{{provider="{escaped}",status="201"}}"#);
        assert_eq!(value(&text, &series), Some(1.0), "{series}");
    }
}

#[test]
fn the_reason_that_is_logged_for_a_refused_value_is_the_real_one() {
    let too_long = "ü".repeat(129); // 258 bytes
    let warnings = crate::process::warnings_of(|| {
        let config = Config::new().catalog(GUARDED).label_values_max(2);
        Registry::with(&config).unwrap().run(|| {
            for value in ["", &too_long, "a", "b", "c", "d", ""] {
                count(value, "200");
            }
        });
    });
    let reasons = [
        "reason=\"value is empty\"",
        "reason=\"value has more bytes than the limit\" limit=256",
        "reason=\"label has reached the limit of values\" limit=2",
    ];
    assert_eq!(warnings.len(), reasons.len(), "{warnings:?}");
    for (warning, reason) in warnings.iter().zip(reasons) {
        assert!(warning.contains(reason), "{warning}");
    }
    let full = crate::process::warnings_of(|| {
        let config = Config::new().catalog(GUARDED).series_max(1);
        let registry = Registry::with(&config).unwrap();
        registry.run(|| ["a", "b"].iter().for_each(|value| count(value, "200")));
    });
    let reason = "reason=\"metric has reached the limit of series\" limit=1";
    assert!(full[0].contains(reason), "{full:?}");
}

#[test]
fn one_text_at_many_addresses_is_one_series() {
    let registry = guarded();
    registry.run(|| {
        for _ in 0..1000 {
            guarded_total(String::from("leaked").leak(), 200).inc();
        }
        for last in ["e1", "e2", "e1"] {
            wide_total("a", "b", "c", "d", last).inc();
        }
        assert_eq!(guarded_total::family().len(), 1);
    });
    assert_eq!(
        registry.value(r#"guarded_total{provider="leaked",status="200"}"#),
        Some(1000.0)
    );
    assert_eq!(
        registry.value(r#"wide_total{a="a",b="b",c="c",d="d",e="e1"}"#),
        Some(2.0)
    );
}

#[test]
fn unknown_methods_and_statuses_are_bounded() {
    let registry = Registry::new();
    registry.run(|| {
        for verb in ["BREW", "get", "PROPFIND"] {
            let method = Method::from_bytes(verb.as_bytes()).unwrap();
            http_requests_total("/bounded", method, 999).inc();
        }
    });
    let series = r#"http_requests_total{route="/bounded",method="_OTHER",status="other"}"#;
    assert_eq!(registry.value(series), Some(3.0));
}

#[test]
fn series_beyond_the_first_table_are_found_again() {
    let config = Config::new()
        .catalog(GUARDED)
        .label_values_max(500)
        .series_max(100_000);
    let registry = Registry::with(&config).unwrap();
    let names: Vec<&'static str> = (0..200).map(|n| &*format!("n{n}").leak()).collect();
    registry.run(|| {
        for _ in 0..3 {
            for name in &names {
                (200..220).for_each(|status| guarded_total(name, status).inc());
            }
        }
        assert_eq!(guarded_total::family().len(), 4000);
        assert!(
            names
                .iter()
                .all(|name| (200..220).all(|status| guarded_total(name, status).get() == 3))
        );
    });
}

#[test]
fn sixteen_threads_lose_no_increment_while_scraped() {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let scraper = scope.spawn(|| {
            let mut last = 0.0;
            while !done.load(Ordering::Relaxed) {
                let now = value(&rendered(), r#"contended_total{half="a"}"#).unwrap_or(0.0);
                assert!(now >= last, "a counter went back from {last} to {now}");
                last = now;
            }
        });
        let threads: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..increments() {
                        contended_total("a").inc();
                        contended_seconds("a").observe(0.5);
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        done.store(true, Ordering::Relaxed);
        scraper.join().unwrap();
    });
    assert_eq!(contended_total("a").get(), 16 * increments());
    assert_eq!(contended_seconds("a").count(), 16 * increments());
    assert_eq!(contended_seconds("a").sum(), 8.0 * increments() as f64);
}
