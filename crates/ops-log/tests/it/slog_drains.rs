use std::sync::Mutex;

use ops_log::{LineDrain, info};
use slog::{Drain, o};

use crate::{Written, json, pipeline, rest};

#[test]
fn a_slog_users_fields_come_out_in_order_and_the_newest_of_a_key_wins() {
    let (pipeline, written) = json();
    let log = pipeline.logger("db").bind("bound", 1).slog();
    let log = log
        .new(o!("first" => 1, "second" => 2))
        .new(o!("third" => 3, "first" => "newer"));
    slog::warn!(log, "slow {}", "query"; "rows" => 5, "second" => "newest", "took" => %1.5);
    let line = written.last();
    assert!(
        line.contains(r#""level":"warning","logger":"db","event":"slow query","#),
        "{line}"
    );
    assert_eq!(
        rest(&line),
        r#","bound":1,"third":3,"first":"newer","rows":5,"second":"newest","took":"1.5"}"#
    );
}

#[test]
fn a_slog_users_levels_are_filtered_and_reach_trace() {
    let (pipeline, written) = pipeline(
        |config| config.filter("warning,deep=trace".parse().unwrap()),
        true,
    );
    slog::info!(pipeline.logger("flat").slog(), "no");
    slog::trace!(pipeline.logger("deep").slog(), "yes");
    assert_eq!(written.lines().len(), 1);
    assert!(written.last().contains(r#""level":"trace""#));
}

#[test]
fn our_drain_takes_records_of_any_slog_logger() {
    let lines = ops_log::capture_logs(|| {
        let log = slog::Logger::root(LineDrain::named("theirs"), o!("pool" => 3));
        slog::info!(log, "connected"; "host" => "localhost");
    });
    assert_eq!(
        (lines[0].logger.as_str(), lines[0].event.as_str()),
        ("theirs", "connected")
    );
    assert_eq!(lines[0].fields.len(), 2);
    assert_eq!(lines[0].fields[0].0, "pool");
}

#[test]
fn any_slog_drain_can_be_plugged_under_our_loggers() {
    let theirs = Written::default();
    let drain = slog_json::Json::new(theirs.clone())
        .add_key_value(
            o!("msg" => slog::PushFnValue(|record, serializer| serializer.emit(record.msg())),
                          "level" => slog::FnValue(|record| record.level().as_short_str())),
        )
        .build();
    let drain = Mutex::new(drain.ignore_res()).ignore_res();
    let (pipeline, _) = pipeline(|config| config.drain(drain), true);
    let _scope = ops_log::context_scope!(request_id = "r1", own = "loses");
    info!(
        pipeline.logger("db"),
        "query",
        own = 1,
        password = "p",
        rows = slog::Serde(vec![1, 2])
    );
    let text = String::from_utf8(theirs.0.lock().concat()).unwrap();
    assert_eq!(
        text,
        "{\"level\":\"INFO\",\"msg\":\"query\",\"logger\":\"db\",\"request_id\":\"r1\",\"own\":1,\"password\":\"[REDACTED]\",\"rows\":[1,2]}\n"
    );
    assert_eq!(pipeline.stats().written, 1);
}

#[test]
fn the_ready_made_slog_json_drain_writes_its_own_format() {
    let theirs = Written::default();
    let (pipeline, _) = pipeline(
        |config| config.drain(ops_log::slog_json::drain(theirs.clone())),
        true,
    );
    info!(pipeline.root(), "hello", n = 1);
    let text = theirs.0.lock().concat();
    let parsed: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(
        (parsed["msg"].as_str(), parsed["level"].as_str()),
        (Some("hello"), Some("INFO"))
    );
    assert_eq!(parsed["n"], 1);
    assert!(parsed["ts"].is_string());
}
