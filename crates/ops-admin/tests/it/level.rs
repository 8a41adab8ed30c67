use http::{Request, StatusCode};

use crate::{Answer, admin, post, send};

async fn change(body: &str) -> Answer {
    let request = Request::post("/api/level")
        .header("host", "localhost")
        .header("x-ops-admin", "1")
        .header("content-type", "application/json");
    send(&admin(), request, body).await
}

#[tokio::test]
async fn a_level_changes_for_a_time_with_a_reason() {
    let body = r#"{"level": "debug", "why": "slow queries", "target": "ops_admin_it::changed", "ttl_seconds": 60, "who": "ada"}"#;
    let answer = change(body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(
        answer.body,
        "level of ops_admin_it::changed is debug for 60 seconds\n"
    );
    let levels = ops_log::levels();
    let rule = levels
        .iter()
        .find(|rule| rule.target == "ops_admin_it::changed")
        .unwrap();
    let temporary = rule.temporary.as_ref().unwrap();
    assert_eq!(
        (temporary.who.as_str(), temporary.why.as_str()),
        ("ada", "slow queries")
    );
    assert!(temporary.remaining.as_secs() <= 60);
}

#[tokio::test]
async fn a_time_beyond_a_day_is_a_day() {
    let body = r#"{"level": "debug", "why": "x", "target": "ops_admin_it::long", "ttl_seconds": 18446744073709551615}"#;
    let answer = change(body).await;
    assert_eq!(
        answer.body,
        "level of ops_admin_it::long is debug for 86400 seconds\n"
    );
}

#[tokio::test]
async fn an_invalid_change_is_refused_with_what_is_accepted() {
    for (body, expected) in [
        (r#"{"level": "loud", "why": "x"}"#, "expected trace, debug"),
        (r#"{"level": "debug", "why": " "}"#, "why must not be empty"),
        (
            r#"{"level": "debug", "why": "x", "ttl_seconds": 0}"#,
            "ttl_seconds must be at least 1",
        ),
        (
            r#"{"level": "debug", "why": "x", "ttl": 5}"#,
            "unknown field `ttl`",
        ),
        (r#"{"level": "debug"}"#, "missing field `why`"),
        ("{", "EOF"),
        (
            r#"["debug", "x", "ops_admin_it::array", 60, "ada"]"#,
            "invalid type: sequence, expected a JSON object",
        ),
        // texts for a terminal contain no escape sequences
        (
            r#"{"level": "debug", "why": "x", "\u001b[31m": 5}"#,
            "unknown field `\u{fffd}[31m`",
        ),
        (
            r#"{"level": "\u001b[31m", "why": "x"}"#,
            "expected trace, debug",
        ),
    ] {
        let answer = change(body).await;
        assert!(answer.status.is_client_error(), "{body}: {}", answer.status);
        assert!(answer.body.contains(expected), "{body}: {}", answer.body);
        assert!(!answer.body.contains('\u{1b}'), "{body}: {}", answer.body);
    }
    let large = format!(r#"{{"level": "debug", "why": "{}"}}"#, "x".repeat(20_000));
    let answer = change(&large).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(
        answer.body.contains("at most 16384 bytes"),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn a_target_with_a_terminal_sequence_is_answered_as_text() {
    let body = r#"{"level": "info", "why": "x", "target": "\u001b[2J\u202e", "ttl_seconds": 1}"#;
    let answer = change(body).await;
    assert_eq!(
        answer.body,
        "level of \u{fffd}[2J\u{fffd} is info for 1 seconds\n"
    );
}

#[tokio::test]
async fn a_target_that_no_logger_begins_with_is_refused() {
    for target in ["ops_admin=error", "a b", r"a\nb", "a,b", &"x".repeat(201)] {
        let body = format!(r#"{{"level": "info", "why": "x", "target": "{target}"}}"#);
        let answer = change(&body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{target}");
        assert!(answer.body.contains("my_crate::db"), "{}", answer.body);
    }
    let body = r#"{"level": "info", "why": "x", "target": " some::module ", "ttl_seconds": 1}"#;
    let answer = change(body).await;
    assert_eq!(answer.body, "level of some::module is info for 1 seconds\n");
}

#[tokio::test]
async fn a_revert_of_nothing_names_what_is_changed_and_is_text() {
    let body = r#"{"level": "info", "why": "x", "target": "reverted::later"}"#;
    assert_eq!(change(body).await.status, StatusCode::OK);
    let revert = async |body: &str| post(&admin(), "/api/level/revert", body).await;
    let answer = revert(r#"{"target": "\u001b[31m\u202e"}"#).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let message = &answer.body;
    assert!(
        message.starts_with(
            "the level of \u{fffd}[31m\u{fffd} has no change to revert; changed levels:"
        ) && message.contains("reverted::later"),
        "{message}"
    );
    let body = r#"{"target": " reverted::later"}"#;
    assert_eq!(revert(body).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_secret_at_the_cut_of_a_reason_is_redacted_completely() {
    const SECRET: &str = "canary-that-a-reason-is-cut-in";
    ops_log::redact(SECRET);
    let why = format!("{}{SECRET}", "x".repeat(190));
    let target = "ops_admin_it::secret";
    let body =
        format!(r#"{{"level": "debug", "why": "{why}", "target": "{target}", "who": "{SECRET}"}}"#);
    assert_eq!(change(&body).await.status, StatusCode::OK);
    let levels = ops_log::levels();
    let rule = levels.iter().find(|rule| rule.target == target).unwrap();
    let temporary = rule.temporary.as_ref().unwrap();
    let said = format!("{} {}", temporary.who, temporary.why);
    assert!(!said.contains("canary"), "{said}");
}
