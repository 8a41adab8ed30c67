use std::time::{Duration, SystemTime};

use ops_admin::{Admin, LastRun};
use serde_json::{Value, json};

use crate::get;

async fn shown(admin: Admin) -> Value {
    let answer = get(&admin.router(), "/api/state").await;
    let state: Value = serde_json::from_str(&answer.body).unwrap();
    state["last_run"].clone()
}

#[tokio::test]
async fn the_last_run_has_its_end_and_its_records_as_text() {
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let last = LastRun::new("panicked", "its main thread panicked")
        .time(at(1), at(9))
        .kept("/run/it.box.1")
        .torn(1)
        .record(
            "line",
            at(8),
            r#"{"level":"error","event":"<b>failed</b>"}"#,
        )
        .record("span", at(9), r#"{"name":"GET /"}"#)
        .record("panic", at(9), r#"{"message":"no\u001b[31m"}"#)
        .record("line", at(9), "cut off {");
    let right = json!({
        "ending": "panicked", "how": "its main thread panicked", "is_clean": false, "started_at": 1000, "last_seen": 9000,
        "kept": "/run/it.box.1", "left_out": 0, "torn": 1,
        "records": [
            {"kind": "line", "at": 8000, "level": "error", "name": "<b>failed</b>", "text": r#"{"level":"error","event":"<b>failed</b>"}"#},
            {"kind": "span", "at": 9000, "level": null, "name": "GET /", "text": r#"{"name":"GET /"}"#},
            {"kind": "panic", "at": 9000, "level": null, "name": "no\u{1b}[31m", "text": r#"{"message":"no\u001b[31m"}"#},
            {"kind": "line", "at": 9000, "level": null, "name": null, "text": "cut off {"},
        ],
    });
    assert_eq!(shown(Admin::new("it").last_run(last)).await, right);
    assert_eq!(shown(Admin::new("it")).await, Value::Null);
}

#[tokio::test]
async fn the_newest_hundred_records_are_shown_each_up_to_a_thousand_characters() {
    let mut last = LastRun::new("clean", "it shut down cleanly")
        .clean(true)
        .left_out(7);
    for number in 0..130 {
        last = last.record(
            "line",
            SystemTime::now(),
            &format!("{number} {}", "ü".repeat(2000)),
        );
    }
    let shown = shown(Admin::new("it").last_run(last)).await;
    let records = shown["records"].as_array().unwrap();
    assert_eq!((records.len(), &shown["left_out"]), (100, &json!(37)));
    let newest = records[99]["text"].as_str().unwrap();
    assert!(newest.starts_with("129 ") && newest.chars().count() == 1000);
}
