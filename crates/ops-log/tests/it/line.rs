use ops_log::{bind_context, clear_context, get_logger, info, redact};

use crate::line_of;

#[test]
fn context_comes_before_the_fields_and_these_in_call_order() {
    bind_context!(request_id = "req-abc123");
    info!(
        get_logger("api"),
        "line_order",
        method = "GET",
        path = "/api",
        status = 200_u16,
        latency_ms = 45
    );
    clear_context();
    let line = line_of("line_order");
    let rest = r#""level":"info","logger":"api","event":"line_order","request_id":"req-abc123","method":"GET","path":"/api","status":200,"latency_ms":45}"#;
    assert!(line.ends_with(rest), "{line}");
    // {"timestamp":"2025-01-15T10:30:00.123Z",
    assert_eq!(
        line.len(),
        r#"{"timestamp":"2025-01-15T10:30:00.123Z","#.len() + rest.len()
    );
}

#[test]
fn a_field_wins_over_the_context_and_appears_once() {
    bind_context!(user = "bound");
    info!("line_unique", user = "own", level = "mine");
    clear_context();
    let line = line_of("line_unique");
    assert!(
        line.ends_with(r#""event":"line_unique","user":"own"}"#),
        "{line}"
    );
    assert_eq!(line.matches("\"level\"").count(), 1);
}

#[test]
fn what_could_break_a_line_is_escaped() {
    let hostile = "a\"b\\c\nd\u{1b}[31m\u{2028}\0";
    info!("line_hostile", text = hostile, number = f64::NAN);
    let line = line_of("line_hostile");
    assert!(
        !line.chars().any(|c| c.is_control() || c == '\u{2028}'),
        "{line:?}"
    );
    let parsed: serde_json::Value = serde_json::from_str(&line).expect("it is one JSON object");
    assert_eq!(parsed["text"], hostile);
    assert!(parsed["number"].is_null());
}

#[test]
fn a_registered_value_is_in_no_line() {
    redact("hunter2-\"quoted\"");
    info!("line_redacted", password = "x hunter2-\"quoted\" y");
    let line = line_of("line_redacted");
    assert!(line.ends_with(r#""password":"x [REDACTED] y"}"#), "{line}");
}
