use std::sync::atomic::{AtomicBool, Ordering};

use http::Method;
use ops_metrics::LABEL_VALUES_MAX;
use ops_metrics::catalog::http_requests_total;

use crate::{rendered, value};

ops_metrics::define! {
    /// Of the cardinality test.
    counter guarded_total { provider: &'static str, status: u16 }
    /// Of the test with threads.
    counter contended_total { half: &'static str }
    /// Of the test with threads.
    histogram contended_seconds { half: &'static str }
}

fn increments() -> u64 {
    if std::env::var_os("OPS_TEST_FULL").is_some() {
        1_000_000
    } else {
        50_000
    }
}

#[test]
fn the_label_that_overflows_becomes_other_and_the_others_stay() {
    rendered();
    for index in 0..LABEL_VALUES_MAX + 50 {
        let name = format!("provider-{index}");
        metrics::counter!("guarded_total", "provider" => name.clone(), "status" => "500")
            .increment(1);
        guarded_total("mapbox", 500).inc(); // the first call registers the name
    }
    let text = rendered();
    let other = value(&text, r#"guarded_total{provider="other",status="500"}"#).unwrap();
    assert!((50.0..=52.0).contains(&other), "{other}");
    assert!(value(&text, r#"guarded_total{provider="other",status="other"}"#).is_none());
    assert!(guarded_total::family().len() <= LABEL_VALUES_MAX + 1);
    let overflow = r#"ops_metrics_overflow_total{metric="guarded_total",label="provider"}"#;
    assert!(value(&text, overflow).unwrap() >= 50.0);
    assert!(
        ops_metrics::overflows()
            .iter()
            .any(|known| known.label == "provider")
    );
}

#[test]
fn values_that_would_need_escapes_become_other() {
    rendered();
    guarded_total("mapbox", 201).inc();
    for value in [
        "",
        "a\nb",
        "quo\"te",
        "back\\slash",
        "ünïcode",
        &"long".repeat(100),
    ] {
        metrics::counter!("guarded_total", "provider" => value.to_owned(), "status" => "201")
            .increment(1);
    }
    let text = rendered();
    assert_eq!(
        value(&text, r#"guarded_total{provider="other",status="201"}"#),
        Some(6.0)
    );
}

#[test]
fn unknown_methods_and_statuses_are_bounded() {
    for verb in ["BREW", "get", "PROPFIND"] {
        http_requests_total(
            "/bounded",
            Method::from_bytes(verb.as_bytes()).unwrap(),
            999,
        )
        .inc();
    }
    let series = r#"http_requests_total{route="/bounded",method="_OTHER",status="other"}"#;
    assert_eq!(value(&rendered(), series), Some(3.0));
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
