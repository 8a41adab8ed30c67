use ops_metrics::{CATALOG, Kind};

/// Checks the rules of promlint, because promtool may be missing.
#[test]
fn the_built_in_names_follow_the_rules() {
    for family in CATALOG {
        let definition = family().definition();
        let name = definition.name;
        let counts = matches!(definition.kind, Kind::Counter | Kind::Seconds);
        assert_eq!(name.ends_with("_total"), counts, "{name}");
        assert!(!definition.help().is_empty(), "{name}");
        let words: Vec<&str> = name.split('_').collect();
        for wrong in [
            "counter",
            "gauge",
            "histogram",
            "summary",
            "ms",
            "millis",
            "milliseconds",
            "kb",
            "mb",
            "bucket",
            "count",
            "sum",
        ] {
            assert!(!words.contains(&wrong), "{name} contains {wrong}");
        }
        for label in definition.labels {
            assert!(
                !["le", "quantile", "job", "instance"].contains(&label.name),
                "{name}: {}",
                label.name
            );
        }
        if definition.kind == Kind::Seconds {
            assert_eq!(definition.unit(), "seconds", "{name}");
        }
    }
}

#[test]
fn service_level_thresholds_are_bounds_of_buckets() {
    let latency = ops_metrics::catalog::http_request_latency::family().definition();
    for threshold in [0.25, 0.5] {
        assert!(latency.buckets.contains(&threshold), "{threshold}");
    }
}
