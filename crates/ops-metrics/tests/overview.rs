//! The example in a separate process: it serves the output of the overview on a free port.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "../examples/overview.rs"]
#[expect(dead_code, reason = "its main is for people")]
mod overview;
#[path = "it/promtool.rs"]
mod promtool;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use ops_metrics::testing::Snapshot;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Output in the overview, word by word.
const SHOWN: &str = r#"# HELP http_requests_total Total HTTP requests
# TYPE http_requests_total counter
http_requests_total{route="/api/users",method="GET",status="200"} 1234

# HELP http_request_latency_seconds HTTP request latency in seconds
# TYPE http_request_latency_seconds histogram
http_request_latency_seconds_bucket{route="/api/users",method="GET",le="0.1"} 950
http_request_latency_seconds_bucket{route="/api/users",method="GET",le="0.5"} 1200
http_request_latency_seconds_sum{route="/api/users",method="GET"} 145.2
http_request_latency_seconds_count{route="/api/users",method="GET"} 1234
"#;

/// Metrics of this crate in the overview's catalog, with type and labels.
const LISTED: [(&str, &str, &[&str]); 7] = [
    (
        "http_requests_total",
        "counter",
        &["route", "method", "status"],
    ),
    (
        "http_request_latency_seconds",
        "histogram",
        &["route", "method"],
    ),
    ("duckdb_query_seconds", "histogram", &["query_type"]),
    ("duckdb_query_total", "counter", &["query_type"]),
    ("cache_hits_total", "counter", &["cache_type"]),
    ("cache_misses_total", "counter", &["cache_type"]),
    ("cache_size_bytes", "gauge", &["cache_type"]),
];

/// Metrics of this process, which the first test that needs them installs.
static METRICS: LazyLock<()> = LazyLock::new(|| overview::install().unwrap());

async fn scraped() -> String {
    LazyLock::force(&METRICS);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, overview::app()).await });
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    server.abort();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    assert!(
        head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"),
        "{head}"
    );
    body.to_owned()
}

#[tokio::test]
async fn the_example_serves_what_the_overview_shows() {
    LazyLock::force(&METRICS);
    overview::record();
    let text = scraped().await;
    for line in SHOWN.lines().filter(|line| line.starts_with('#')) {
        assert_eq!(
            text.lines().filter(|shown| *shown == line).count(),
            1,
            "{line}"
        );
    }
    let served = Snapshot::of(&text);
    let shown = SHOWN
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    for line in shown {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (found, expected) = (served.value(series), value.parse::<f64>().unwrap());
        assert!(
            found.is_some_and(|found| (found - expected).abs() < 1e-9),
            "{series}: {found:?}, not {expected}"
        );
    }
    let phase = r#"orchestrator_phase_seconds_bucket{phase="analyze",le="60"}"#;
    assert_eq!(served.value(phase), Some(1.0));
}

#[tokio::test]
async fn every_listed_metric_is_served_with_its_type_and_its_labels_in_their_order() {
    let text = scraped().await;
    let types: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    for (name, kind, labels) in LISTED {
        assert_eq!(types.get(name), Some(&kind), "{name}");
        let family = ops_metrics::families()
            .into_iter()
            .find(|family| family.definition().name == name);
        let definition = family.unwrap().definition();
        let declared: Vec<&str> = definition.labels.iter().map(|label| label.name).collect();
        assert_eq!(declared, labels, "{name}");
    }
    for gauge in ["registry_models_total", "registry_datasets_total"] {
        assert_eq!(types.get(gauge), Some(&"gauge"));
    }
}

#[tokio::test]
async fn promtool_names_the_two_gauges_and_nothing_else() {
    let text = scraped().await;
    let Some(mut said) = promtool::check_metrics(&text) else {
        return;
    };
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
