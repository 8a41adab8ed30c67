use http::StatusCode;
use ops_admin::Admin;
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
