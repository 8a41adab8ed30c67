use serde_json::Value;

use crate::{full, get, traffic};

async fn json(path: &str) -> Value {
    let answer = get(&full(), path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

#[tokio::test]
async fn conditions_are_read_strictly() {
    for (path, accepted) in [
        ("/api/tiles?window=2h", "window must be 5m, 1h or 24h"),
        (
            "/api/tiles?windows=5m",
            "unknown or repeated parameter, accepted once each: window",
        ),
        (
            "/api/routes?window=5m&window=1h",
            "accepted once each: window",
        ),
        ("/api/lines?level=loud", "expected trace, debug"),
        (
            "/api/lines?limit=-1",
            "limit must be a non-negative integer",
        ),
        (
            "/api/traces?min_ms=1.5",
            "min_ms must be a non-negative integer",
        ),
        ("/api/traces?status=xx", "status must be error, slow"),
        ("/api/traces?status=6xx", "a status such as 404 or 4xx"),
        ("/api/traces?status=5xxxx", "a status such as"),
        ("/api/traces?status=40", "a status such as"),
        ("/api/traces?status=%3Cimg%3E", "a status such as"),
        (
            "/api/traces/..",
            "invalid trace id: expected 32 hexadecimal digits",
        ),
        (
            "/api/traces/0123456789abcdef0123456789abcdeg",
            "32 hexadecimal digits",
        ),
    ] {
        let answer = get(&full(), path).await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.body.contains(accepted), "{path}: {}", answer.body);
    }
    let absent = get(&full(), "/api/traces/00000000000000000000000000000001").await;
    assert_eq!(absent.status, 404);
    assert!(
        absent
            .body
            .starts_with("trace not found, not exported yet, or not kept: "),
        "{}",
        absent.body
    );
}

#[tokio::test]
async fn a_trace_leads_to_its_spans_their_attributes_and_its_lines() {
    let id = traffic().await;
    let trace = json(&format!("/api/traces/{id}")).await;
    assert_eq!(trace["route"], "/it/{id}");
    assert_eq!(
        (&trace["method"], &trace["status"]),
        (&"GET".into(), &500.into())
    );
    assert_eq!(trace["error"], true);
    let spans = trace["waterfall"].as_array().unwrap();
    assert_eq!(
        (spans[0]["depth"].as_u64(), spans[1]["depth"].as_u64()),
        (Some(0), Some(1))
    );
    let attributes = spans[1]["attributes"].to_string();
    assert!(
        attributes.contains(r#"["db.query.text","SELECT 1 /* <script> */"]"#),
        "{attributes}"
    );
    let lines = trace["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].as_str().unwrap().contains("line_of_the_trace"));

    let of_it = json(&format!("/api/lines?trace_id={id}&level=warning")).await;
    assert_eq!(of_it["lines"].as_array().unwrap().len(), 1);
    // as other tools write ids
    let upper = id.to_uppercase();
    let of_it = json(&format!("/api/lines?trace_id={upper}")).await;
    assert_eq!(of_it["lines"].as_array().unwrap().len(), 1);
    let milder = json(&format!("/api/lines?trace_id={id}&level=error")).await;
    assert_eq!(milder["lines"].as_array().unwrap().len(), 0);
    let by_text = json("/api/lines?text=LINE_OF_THE&limit=1").await;
    assert_eq!(by_text["lines"].as_array().unwrap().len(), 1);

    for (path, expected) in [
        ("/api/traces?status=error&route=GET /it/", true),
        ("/api/traces?status=5xx", true),
        ("/api/traces?status=500&min_ms=0", true),
        ("/api/traces?status=2xx", false),
        ("/api/traces?route=/elsewhere", false),
        ("/api/traces?min_ms=3600000", false),
    ] {
        let listed = json(&path.replace(' ', "%20")).await;
        let found = listed
            .as_array()
            .unwrap()
            .iter()
            .any(|trace| trace["trace_id"] == id.as_str());
        assert_eq!(found, expected, "{path}");
    }
}
