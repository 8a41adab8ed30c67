use std::io::Write as _;
use std::process::{Command, Stdio};

use http::Method;
use ops_metrics::catalog::{duckdb_query_seconds, http_request_latency, http_requests_total};

use crate::{promtool, rendered, value};

ops_metrics::labels! { enum Queue { Mail = "mail", Report = "report" } }

ops_metrics::define! {
    /// Of this test.
    catalogue MINE;
    /// Jobs done.
    counter jobs_total { queue: Queue }
    /// Total registered models
    gauge registry_models_total {}
    /// Total registered datasets
    gauge registry_datasets_total {}
}

#[test]
fn overview_usage_renders_the_overview_lines() {
    http_requests_total("/api/overview", Method::GET, 200).add(1234);
    let latency = http_request_latency("/api/overview", Method::GET);
    (0..950).for_each(|_| latency.observe(0.0625));
    (0..250).for_each(|_| latency.observe(0.25));
    (0..34).for_each(|_| latency.observe(0.75));
    let text = rendered();
    for line in [
        "# HELP http_requests_total Total HTTP requests",
        "# TYPE http_requests_total counter",
        r#"http_requests_total{route="/api/overview",method="GET",status="200"} 1234"#,
        "# HELP http_request_latency_seconds HTTP request latency in seconds",
        "# TYPE http_request_latency_seconds histogram",
        r#"http_request_latency_seconds_bucket{route="/api/overview",method="GET",le="0.1"} 950"#,
        r#"http_request_latency_seconds_bucket{route="/api/overview",method="GET",le="0.5"} 1200"#,
        r#"http_request_latency_seconds_bucket{route="/api/overview",method="GET",le="+Inf"} 1234"#,
        r#"http_request_latency_seconds_sum{route="/api/overview",method="GET"} 147.375"#,
        r#"http_request_latency_seconds_count{route="/api/overview",method="GET"} 1234"#,
    ] {
        assert!(
            text.lines().any(|shown| shown == line),
            "{line}\nis not in\n{text}"
        );
    }
}

#[test]
fn every_metric_of_the_catalogue_is_there_before_anything_happened() {
    ops_metrics::register(MINE);
    let text = rendered();
    for family in ops_metrics::CATALOGUE.iter().chain(MINE) {
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
fn a_timer_observes_when_it_is_dropped_even_by_a_panic() {
    let seconds = duckdb_query_seconds("TIMED");
    let panicked = std::thread::spawn(|| {
        let _timer = duckdb_query_seconds("TIMED").start_timer();
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    assert!(panicked.join().is_err());
    assert_eq!(seconds.count(), 1);
}

#[test]
fn non_finite_and_negative_observations_are_refused_and_counted() {
    let seconds = duckdb_query_seconds("REFUSED");
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0] {
        seconds.observe(value);
    }
    seconds.observe(0.25);
    assert_eq!((seconds.count(), seconds.sum()), (1, 0.25));
    let refused = r#"ops_metrics_rejected_total{metric="duckdb_query_seconds"}"#;
    assert_eq!(value(&rendered(), refused), Some(4.0));
}

#[test]
fn facade_calls_land_in_the_catalogue_or_beside_it() {
    rendered();
    metrics::counter!("duckdb_query_total", "query_type" => "FACADE").absolute(7);
    metrics::describe_counter!("another_crates_total", "Of another crate");
    metrics::counter!("another_crates_total").increment(3);
    metrics::histogram!("another_crates_seconds").record(0.2);
    let text = rendered();
    assert_eq!(
        value(&text, r#"duckdb_query_total{query_type="FACADE"}"#),
        Some(7.0)
    );
    assert_eq!(text.matches("# TYPE duckdb_query_total").count(), 1);
    assert_eq!(value(&text, "another_crates_total"), Some(3.0));
    assert_eq!(
        value(&text, r#"another_crates_seconds_bucket{le="+Inf"}"#),
        Some(1.0)
    );
}

#[test]
fn promtool_names_the_two_gauges_and_nothing_else() {
    let Some(promtool) = promtool() else { return };
    ops_metrics::register(MINE);
    let text = rendered();
    // what the other tests record as another crate is that crate's to describe
    let ours: String = text
        .lines()
        .filter(|line| !line.contains("another_crates"))
        .fold(String::new(), |all, line| all + line + "\n");
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(ours.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let mut said: Vec<_> = std::str::from_utf8(&said).unwrap().lines().collect();
    said.sort_unstable();
    let suffix = r#"non-counter metrics should not have "_total" suffix"#;
    assert_eq!(
        said,
        [
            format!("registry_datasets_total {suffix}"),
            format!("registry_models_total {suffix}")
        ]
    );
}
