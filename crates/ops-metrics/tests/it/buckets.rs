//! Buckets set by a configuration.

use ops_metrics::{Config, catalog, testing::Registry};

ops_metrics::define! {
    /// Metrics of this test.
    catalog MINE;
    /// Time a bucket test took.
    histogram bucket_test_seconds {} buckets [1.0, 2.0]
    /// Bucket tests.
    counter bucket_tests_total {}
}

#[test]
fn configured_buckets_are_those_that_are_rendered_in_this_registry_alone() {
    let config = Config::new()
        .catalog(MINE)
        .buckets_of("bucket_test_seconds", [0.3])
        .buckets_of("http_request_latency_seconds", [0.25, 3.0]);
    let registry = Registry::with(&config).unwrap();
    registry.run(|| {
        bucket_test_seconds().observe(0.3);
        catalog::http_request_latency("/", http::Method::GET).observe(1.0);
    });
    let text = registry.render();
    let of = |name: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines.map(|line| line.replace(name, "")).collect()
    };
    assert_eq!(
        of("bucket_test_seconds_bucket"),
        [r#"{le="0.3"} 1"#, r#"{le="+Inf"} 1"#]
    );
    let latency = of("http_request_latency_seconds_bucket");
    assert_eq!(latency.len(), 3, "{latency:?}");
    assert!(latency[1].contains(r#"le="3"} 1"#), "{latency:?}");
    let other = Registry::with(&Config::new().catalog(MINE)).unwrap();
    other.run(|| bucket_test_seconds().observe(0.3));
    assert!(
        other
            .render()
            .contains(r#"bucket_test_seconds_bucket{le="2"} 1"#)
    );
}

#[test]
fn buckets_that_make_no_sense_are_refused_with_what_is_accepted() {
    let refused = |metric: &str, bounds: &[f64]| {
        let config = Config::new().catalog(MINE);
        let config = config.buckets_of(metric, bounds.iter().copied());
        Registry::with(&config).unwrap_err().to_string()
    };
    for bounds in [
        &[][..],
        &[2.0, 1.0],
        &[0.0],
        &[f64::NAN],
        &[1.0, f64::INFINITY],
        &[0.5; 2],
    ] {
        let error = refused("bucket_test_seconds", bounds);
        assert!(
            error.contains("bucket_test_seconds") && error.contains("1 to 40"),
            "{error}"
        );
    }
    assert!(refused("no_such_seconds", &[1.0]).contains("unknown metric no_such_seconds"));
    assert!(refused("bucket_tests_total", &[1.0]).contains("not a histogram"));
}
