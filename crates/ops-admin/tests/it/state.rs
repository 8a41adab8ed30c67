use http::StatusCode;
use ops_admin::{Admin, Finding, Severity};
use serde_json::Value;

use crate::get;

#[tokio::test]
async fn the_state_is_one_json_document_with_a_part_for_each_room() {
    let router = Admin::new("it")
        .readiness(|| async { Some("warming up".to_owned()) })
        .router();
    let answer = get(&router, "/api/state").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["content-type"], "application/json");
    let state: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(state["service"], "it");
    assert_eq!(state["not_ready"], "warming up");
    assert!(state["uptime_seconds"].is_u64());
    #[cfg(feature = "metrics")]
    assert!(
        state["metrics"]
            .as_array()
            .unwrap()
            .iter()
            .any(|line| line["name"] == "p95_seconds")
    );
    #[cfg(feature = "trace")]
    for part in ["recent_traces", "slow_traces", "failed_traces"] {
        assert!(state[part].is_array(), "{part}");
    }
    #[cfg(feature = "log")]
    {
        assert!(state["log_levels"]["level"].is_string());
        assert!(state["recent_lines"].is_array());
    }
    #[cfg(feature = "secrets")]
    assert!(state.get("secrets").is_none(), "none were handed over");
}

#[tokio::test]
async fn findings_are_part_of_the_state_where_somebody_looks_for_them() {
    let bare = get(&Admin::new("it").router(), "/api/state").await;
    let bare: Value = serde_json::from_str(&bare.body).unwrap();
    assert!(bare.get("findings").is_none());

    let finding = Finding::new("traces_lost", Severity::Warning, "spans are dropped", 7)
        .seen("12 of 40")
        .explained_by("collector_down");
    let router = Admin::new("it")
        .findings(move || vec![finding.clone()])
        .router();
    let state = get(&router, "/api/state").await;
    let state: Value = serde_json::from_str(&state.body).unwrap();
    let found = &state["findings"][0];
    assert_eq!(found["id"], "traces_lost");
    assert_eq!(found["severity"], "warning");
    assert_eq!(found["since"], 7);
    assert_eq!(found["seen"], "12 of 40");
    assert_eq!(found["explained_by"], "collector_down");
    assert!(found["runbook"].is_null());
}
