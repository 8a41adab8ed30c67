use std::collections::BTreeMap;

use crate::served::Home;

const TEMPLATE: &str = "/api/viz/palette";

/// Catalog of the overview: name, type, labels in order.
const CATALOG: [(&str, &str, &[&str]); 16] = [
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
    (
        "isochrone_requests_total",
        "counter",
        &["provider", "mode", "status"],
    ),
    (
        "isochrone_request_latency_seconds",
        "histogram",
        &["provider", "mode"],
    ),
    ("orchestrator_phase_seconds", "histogram", &["phase"]),
    (
        "orchestrator_agent_retries_total",
        "counter",
        &["agent", "phase"],
    ),
    ("orchestrator_runs_total", "counter", &["status"]),
    ("cache_hits_total", "counter", &["cache_type"]),
    ("cache_misses_total", "counter", &["cache_type"]),
    ("cache_size_bytes", "gauge", &["cache_type"]),
    ("registry_models_total", "gauge", &[]),
    ("registry_datasets_total", "gauge", &[]),
    ("orchestrator_queue_depth", "gauge", &[]),
    ("build_info", "gauge", &["version", "git_sha", "rustc"]),
];

#[test]
fn right_after_the_start_every_metric_of_the_catalog_is_there_with_its_type_and_labels() {
    let served = Home::new().serve_and_load();
    let exposition = served.get("/metrics").body;
    for (name, kind, labels) in CATALOG {
        assert!(
            exposition.contains(&format!("# TYPE {name} {kind}\n")),
            "{name} is no {kind}"
        );
        assert!(
            exposition.contains(&format!("# HELP {name} ")),
            "{name} has no help"
        );
        let own = |line: &&str| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with([' ', '{', '_']))
        };
        // metrics with open labels (a route) have no series before the first value
        if let Some(line) = exposition.lines().find(own) {
            let found: Vec<&str> = label_names(line)
                .into_iter()
                .filter(|label| *label != "le")
                .collect();
            assert_eq!(found, labels, "{line}");
        } else {
            assert!(labels.contains(&"route"), "{name} has no series");
        }
    }
}

fn label_names(line: &str) -> Vec<&str> {
    let Some((_, rest)) = line.split_once('{') else {
        return Vec::new();
    };
    let labels = rest.rsplit_once('}').unwrap().0;
    labels
        .split("\",")
        .filter_map(|pair| pair.split_once("=\"").map(|(name, _)| name))
        .collect()
}

#[test]
fn the_log_line_the_span_and_the_metric_of_a_request_name_one_route_and_one_trace() {
    let home = Home::new();
    let served = home.serve();
    let answer = served.get_with(
        &format!("{TEMPLATE}?x=1"),
        &[("x-request-id", "req-abc123")],
    );
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-request-id"), "req-abc123");
    let trace = answer.header("traceresponse").split('-').nth(1).unwrap();

    let exposition = served.get("/metrics").body;
    let series =
        format!("http_requests_total{{route=\"{TEMPLATE}\",method=\"GET\",status=\"200\"}} 1\n");
    assert!(exposition.contains(&series), "{exposition}");

    let line = home
        .log_lines()
        .into_iter()
        .find(|line| line["event"] == "request_completed" && line["request_id"] == "req-abc123")
        .unwrap();
    assert_eq!(line["trace_id"], trace);
    assert_eq!(line["route"], TEMPLATE);
    assert_eq!(
        (&line["method"], &line["status"]),
        (&"GET".into(), &200.into())
    );

    let ours = served.trace(trace);
    let spans: BTreeMap<&str, ()> = ours["spans"]
        .as_array()
        .unwrap()
        .iter()
        .map(|span| (span["name"].as_str().unwrap(), ()))
        .collect();
    assert!(
        spans.contains_key(format!("GET {TEMPLATE}").as_str()),
        "{spans:?}"
    );
}

#[test]
fn a_query_is_a_span_below_its_request_and_an_observation_of_the_engine_only_when_it_ran() {
    let served = Home::new().serve();
    let ran = |served: &crate::served::Served| -> f64 {
        let exposition = served.get("/metrics").body;
        let line = exposition
            .lines()
            .find(|line| line.starts_with("duckdb_query_total{query_type=\"SELECT\"}"))
            .unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let before = ran(&served);
    let answers: Vec<_> = (0..3)
        .map(|_| served.get("/api/flights/summary?origin=SFO"))
        .collect();
    assert_eq!(ran(&served) - before, 1.0);
    let trace = answers[0]
        .header("traceresponse")
        .split('-')
        .nth(1)
        .unwrap();
    let ours = served.trace(trace);
    let names: Vec<&str> = ours["spans"]
        .as_array()
        .unwrap()
        .iter()
        .map(|span| span["name"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"SELECT"), "{names:?}");
}

#[test]
fn no_secret_is_in_the_log_the_page_or_the_metrics() {
    let home = Home::new();
    std::fs::write(home.path(".env"), "REGISTRY_API_KEY=planted-value-77\n").unwrap();
    let served = home.serve();
    let key = ("X-API-Key", "planted-value-77");
    let answer = served.post(
        "/api/registry/models",
        &[key],
        r#"{"name": "planted-value-77", "version": "1"}"#,
    );
    assert_eq!(answer.status, 201);
    served.get("/planted-value-77");
    served.get_with("/healthz", &[("x-client", "planted-value-77")]);
    let state = served.state().to_string();
    let exposition = served.get("/metrics").body;
    assert!(served.stop().success());
    let log = std::fs::read_to_string(home.path("logs/app.log")).unwrap();
    for (place, text) in [("page", state), ("metrics", exposition), ("log", log)] {
        assert!(
            !text.contains("planted-value-77"),
            "it is in the {place}: {text}"
        );
    }
}
