//! Checks that `configs/slo.yml` and `configs/grafana/slo.json` are generated from the objectives of the API.

use std::path::{Path, PathBuf};

use ops_metrics::catalog::{
    http_request_latency, http_requests_total, http_response_failures_total,
    rpc_server_call_duration_seconds,
};
use ops_metrics::{Rules, rules};

use crate::cases::tested;
use crate::promtool::promtool;

ops_metrics::slo! {
    /// Objectives of the API.
    slos API;
    /// The API answers without errors
    ApiAvailability: 99.5 % of http_requests_total fails { status: "5.." } and http_response_failures_total
        ignores { route: "/healthz|/livez|/readyz|/metrics" }
        annotations {
            runbook_url: "https://github.com/kearney/ops-layer/blob/main/docs/runbooks/api-availability-burn.md",
            admin_url: "http://localhost:8001/#finding=requests_failing&section=routes",
        };
    /// Calls of gRPC are answered without errors of the server
    GrpcAvailability: 99.5 % of rpc_server_call_duration_seconds fails { error_type: ".+" }
        ignores { rpc_method: "grpc.health.v1.Health/Check|grpc.health.v1.Health/Watch" }
        annotations {
            runbook_url: "https://github.com/kearney/ops-layer/blob/main/docs/runbooks/api-availability-burn.md",
            admin_url: "http://localhost:8001/#finding=requests_failing&section=routes",
        };
    /// The API answers within 0.25 s
    ApiLatency: 95.0 % of http_request_latency within 0.25
        ignores { route: "/healthz|/livez|/readyz|/metrics" }
        annotations {
            runbook_url: "https://github.com/kearney/ops-layer/blob/main/docs/runbooks/high-api-latency.md",
            admin_url: "http://localhost:8001/#section=routes",
        };
}

const HEAD: &str = "# Made of the objectives in crates/ops-metrics/tests/it/own_rules.rs: OPS_TEST_UPDATE=1 cargo test -p ops-metrics own_rules\n";

fn own() -> Rules {
    rules("slo", &[], API).unwrap()
}

fn configs(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../configs")
        .join(file)
}

#[test]
fn the_files_are_current() {
    let rules = format!("{HEAD}{}", own().rules());
    for (file, made) in [("slo.yml", rules), ("grafana/slo.json", own().dashboard())] {
        if std::env::var_os("OPS_TEST_UPDATE").is_some() {
            std::fs::write(configs(file), &made).unwrap();
        }
        let found = std::fs::read_to_string(configs(file)).unwrap();
        assert!(
            found == made,
            "{file} is not current: run it with OPS_TEST_UPDATE=1"
        );
    }
}

#[cfg(feature = "http")]
#[test]
fn probes_and_scrapes_are_ignored() {
    let quiet = ops_http::QUIET_ROUTES.join("|");
    let selectors = own()
        .rules()
        .matches(&format!("route!~\"{quiet}\""))
        .count();
    assert!(selectors > 50, "{selectors}");
    let quiet = ops_http::QUIET_CALLS.join("|").replace("|/", "|");
    let quiet = quiet.trim_start_matches('/');
    let matcher = format!("rpc_method!~\"{quiet}\"");
    let selectors = own().rules().matches(&matcher).count();
    assert!(selectors > 20, "{selectors}");
}

/// Runs with `OPS_TEST_FULL=1` only; the cases of `tests/alerts.yml` cover these rules too.
#[test]
fn the_cases_that_are_made_with_them_pass() {
    if std::env::var_os("OPS_TEST_FULL").is_none() {
        return;
    }
    let Some(promtool) = promtool() else { return };
    let directory = tempfile::tempdir().unwrap();
    let rules = configs("slo.yml").canonicalize().unwrap();
    for (name, text) in own().tests(&rules.to_string_lossy()) {
        std::fs::write(directory.path().join(&name), text).unwrap();
        if let Err(logged) = tested(&promtool, directory.path(), &[name]) {
            panic!("{logged}");
        }
    }
}
