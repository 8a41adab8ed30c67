use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use ops_metrics::{CATALOGUE, Family};

use crate::promtool::promtool;

/// Declared in kearney-platform, which this crate does not know.
const OF_THE_PLATFORM: [&str; 9] = [
    "isochrone_requests_total",
    "isochrone_request_latency_seconds",
    "orchestrator_phase_seconds",
    "orchestrator_agent_retries_total",
    "orchestrator_runs_total",
    "orchestrator_queue_depth",
    "orchestrator_runs_in_flight",
    "registry_models_total",
    "registry_datasets_total",
];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn is_known(series: &str) -> bool {
    let parts = ["_bucket", "_sum", "_count"];
    let histogram = parts.iter().find_map(|part| series.strip_suffix(part));
    let known = |name: &str| {
        OF_THE_PLATFORM.contains(&name)
            || CATALOGUE
                .iter()
                .any(|family| family().definition().name == name)
    };
    known(series) || histogram.is_some_and(known)
}

/// The names before a `{job=~`, with which every selector of the dashboards begins.
fn selected(dashboard: &str) -> Vec<&str> {
    let pieces: Vec<&str> = dashboard.split("{job=~\\\"$job\\\",instance").collect();
    let name = |piece: &&'_ str| {
        piece
            .rfind(|c: char| !c.is_alphanumeric() && c != '_')
            .map_or(0, |at| at + 1)
    };
    pieces
        .iter()
        .take(pieces.len() - 1)
        .map(|piece| &piece[name(piece)..])
        .collect()
}

#[test]
fn dashboards_ask_for_metrics_that_exist() {
    for file in ["api.json", "orchestrator.json", "cache.json"] {
        let text = std::fs::read_to_string(workspace().join("configs/grafana").join(file)).unwrap();
        let names = selected(&text);
        assert!(
            names.len() >= text.matches("\"expr\"").count(),
            "{file}: a query without job and instance"
        );
        for name in names {
            assert!(is_known(name), "{file}: {name} is not in the catalogue");
        }
    }
    assert!(!is_known("http_request_total"));
}

#[test]
fn alerts_fire_when_they_should_and_stay_quiet_otherwise() {
    let Some(promtool) = promtool() else { return };
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/alerts.yml");
    let output = Command::new(promtool)
        .args(["test", "rules"])
        .arg(cases)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

#[test]
fn the_table_in_docs_is_the_catalogue() {
    let mut table = String::from(
        "# Metrics\n\nThe built-in metrics of ops-metrics, generated from its catalogue (`OPS_TEST_UPDATE=1 cargo test -p \
         ops-metrics table` writes it).\nThe platform's own are declared in `crates/kearney-platform/src/domain_metrics.rs`.\n\n\
         | metric | type | labels | meaning |\n|---|---|---|---|\n",
    );
    for family in CATALOGUE {
        row(&mut table, family());
    }
    let file = workspace().join("docs/metrics.md");
    let page = std::fs::read_to_string(&file).unwrap();
    // what follows is written by the test of ops-layer
    let rest = page.find("\n## ").map_or("", |at| &page[at..]);
    let expected = format!("{table}{rest}");
    if std::env::var_os("OPS_TEST_UPDATE").is_some() {
        std::fs::write(&file, &expected).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(file).unwrap(),
        expected,
        "run it with OPS_TEST_UPDATE=1"
    );
}

fn row(table: &mut String, family: &Family) {
    let definition = family.definition();
    let labels: Vec<_> = definition
        .labels
        .iter()
        .map(|label| format!("`{}`", label.name))
        .collect();
    let (name, kind) = (definition.name, definition.kind.as_str());
    writeln!(
        table,
        "| `{name}` | {kind} | {} | {} |",
        labels.join(", "),
        definition.help()
    )
    .unwrap();
}
