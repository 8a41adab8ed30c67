use ops_log::{Level, bind_context, clear_context, crit, error, get_logger, info, log, warn};

use crate::{json, pipeline, rest};

const JSON: &str = r#"{"timestamp":"2025-01-15T10:30:00.123Z","level":"info","logger":"api","event":"request_completed","request_id":"req-abc123","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","method":"GET","path":"/api/registry/models","status":200,"latency_ms":45}
"#;
const CONSOLE: &str = "2025-01-15 10:30:00 [info     ] request_completed  method=GET path=/api/registry/models status=200 latency_ms=45\n";

#[test]
fn the_overviews_two_samples_come_out_byte_for_byte() {
    for (is_json, expected) in [(true, JSON), (false, CONSOLE)] {
        let (pipeline, written) = pipeline(|config| config, is_json);
        bind_context!(
            request_id = "req-abc123",
            trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
        );
        info!(
            pipeline.root(),
            "request_completed",
            method = "GET",
            path = "/api/registry/models",
            status = 200_u16,
            latency_ms = 45
        );
        clear_context();
        assert_eq!(written.last(), expected);
    }
}

#[test]
fn colors_surround_the_parts_of_a_console_line() {
    let written = crate::Written::default();
    let output = ops_log::Output::writer(written.clone())
        .color(true)
        .context(true);
    let config = ops_log::Config::new()
        .stdout(false)
        .clock(crate::sample_time)
        .output(output);
    let pipeline = ops_log::Pipeline::new(config).unwrap();
    let _scope = ops_log::context_scope!(request_id = "r1");
    warn!(pipeline.logger("db"), "slow", rows = 3);
    assert_eq!(
        written.last(),
        "\x1b[2m2025-01-15 10:30:00\x1b[0m [\x1b[33m\x1b[1mwarning  \x1b[0m] \x1b[1mslow\x1b[0m [\x1b[34mdb\x1b[0m]  \
         \x1b[36mrequest_id\x1b[0m=\x1b[35mr1\x1b[0m \x1b[36mrows\x1b[0m=\x1b[35m3\x1b[0m\n"
    );
}

#[test]
fn context_comes_first_then_what_a_logger_binds_then_the_fields_in_call_order() {
    let (pipeline, written) = json();
    let log = pipeline
        .logger("db")
        .bind("table", "users")
        .bind("shard", 3);
    bind_context!(request_id = "req-1");
    info!(log, "line_order", zebra = 1, apple = 2, mango = ?"x", key = %4.5);
    clear_context();
    assert_eq!(
        rest(&written.last()),
        r#","request_id":"req-1","table":"users","shard":3,"zebra":1,"apple":2,"mango":"\"x\"","key":"4.5"}"#
    );
    assert!(written.last().contains(r#""logger":"db""#));
}

#[test]
fn one_key_has_one_value_the_events_before_the_loggers_before_the_contexts() {
    let (pipeline, written) = json();
    let log = pipeline
        .logger("db")
        .bind("a", "logger")
        .bind("b", "logger")
        .bind("a", "logger again");
    let _scope =
        ops_log::context_scope!(a = "context", b = "context", c = "context", d = "context");
    info!(log, "line_unique", b = "event", c = "event", c = "last");
    assert_eq!(
        rest(&written.last()),
        r#","d":"context","a":"logger again","b":"event","c":"last"}"#
    );
}

#[test]
fn a_logger_without_a_field_is_another_logger() {
    let (pipeline, written) = json();
    let log = pipeline.root().bind("table", "users").bind("shard", 3);
    info!(log.unbind(["table", "never bound"]), "line_unbound");
    assert_eq!(rest(&written.last()), r#","shard":3}"#);
    info!(log, "line_bound");
    assert_eq!(rest(&written.last()), r#","table":"users","shard":3}"#);
}

#[test]
fn reserved_keys_cannot_be_overridden_and_their_values_are_kept() {
    let (pipeline, written) = json();
    info!(
        pipeline.root(),
        "reserved",
        timestamp = 1,
        level = "mine",
        logger = "mine",
        event = "mine",
        level_ = "second",
        r#type = "raw"
    );
    assert_eq!(
        rest(&written.last()),
        r#","timestamp_":1,"logger_":"mine","event_":"mine","level_":"second","type":"raw"}"#
    );
}

#[test]
fn every_macro_prints_its_level_with_and_without_a_logger() {
    let lines = ops_log::capture_logs(|| {
        let log = get_logger("named");
        ops_log::trace!("t");
        ops_log::debug!(log, "d");
        info!("i",);
        warn!(log, "w", n = 1,);
        error!("e");
        crit!(log, "c");
        log!(Level::Info, log, String::from("own text"));
    });
    let seen: Vec<_> = lines
        .iter()
        .map(|line| (line.level.as_str(), line.event.as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            ("trace", "t"),
            ("debug", "d"),
            ("info", "i"),
            ("warning", "w"),
            ("error", "e"),
            ("critical", "c"),
            ("info", "own text")
        ]
    );
    assert_eq!(lines[1].logger, "named");
}

#[test]
fn what_could_break_a_line_is_escaped_in_both_formats() {
    let hostile = "a\"b\\c\nd\r\u{1b}[31m\u{2028}\u{202e}\u{61c}\u{200e}\u{200f}\u{85}\0\u{7f}é";
    for is_json in [true, false] {
        let (pipeline, written) = pipeline(|config| config, is_json);
        let log = pipeline.logger(hostile).bind(hostile, hostile);
        log.log(Level::Info, hostile, &[("k\n=\u{1b}", hostile.into())]);
        let line = written.last();
        let body = line.strip_suffix('\n').unwrap();
        assert!(
            !body.chars().any(|c| c.is_control()
                || matches!(
                    c,
                    '\u{2028}' | '\u{202e}' | '\u{61c}' | '\u{200e}' | '\u{200f}'
                )),
            "{line:?}"
        );
        if is_json {
            let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
            for key in ["logger", "event", hostile, "k\n=\u{1b}"] {
                assert_eq!(parsed[key], hostile, "{key:?}");
            }
        }
    }
}

#[test]
fn a_console_value_is_bare_where_it_is_one_word() {
    let (pipeline, written) = pipeline(|config| config, false);
    info!(
        pipeline.root(),
        "say \"hi\"",
        bare = "a/b:c-d.é",
        spaced = "a b",
        empty = "",
        quoted = "it's",
        none = Option::<u8>::None,
        yes = true
    );
    assert_eq!(
        written.last(),
        "2025-01-15 10:30:00 [info     ] say \"hi\"  bare=a/b:c-d.é spaced=\"a b\" empty=\"\" quoted=\"it's\" none=null yes=true\n"
    );
}

#[test]
fn each_line_is_one_write() {
    let (pipeline, written) = json();
    for n in 0..10 {
        info!(
            pipeline.root(),
            "one_write",
            n = n,
            text = "x".repeat(n * 1000)
        );
    }
    let lines = written.lines();
    assert_eq!(lines.len(), 10);
    assert!(
        lines
            .iter()
            .all(|line| line.ends_with("}\n") && line.matches('\n').count() == 1)
    );
}

#[test]
fn timestamps_are_right_across_leap_years_and_centuries() {
    use std::time::{Duration, SystemTime};
    for (seconds, expected) in [
        (0, "1970-01-01T00:00:00.007Z"),
        (951_782_399, "2000-02-28T23:59:59.007Z"),
        (951_782_400, "2000-02-29T00:00:00.007Z"),
        (1_709_164_800, "2024-02-29T00:00:00.007Z"),
        (4_107_542_400, "2100-03-01T00:00:00.007Z"),
        (253_402_300_800, "9999-12-31T23:59:59.007Z"),
    ] {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(7);
        let (pipeline, written) = pipeline(|config| config.clock(move || at), true);
        info!(pipeline.root(), "then");
        assert!(
            written
                .last()
                .starts_with(&format!("{{\"timestamp\":\"{expected}\"")),
            "{}",
            written.last()
        );
    }
}

#[test]
fn fields_of_the_process_come_before_the_context() {
    let (pipeline, written) = pipeline(
        |config| config.field("service", "shop").field("zone", 2),
        true,
    );
    let _scope = ops_log::context_scope!(zone = 3, request_id = "r");
    info!(pipeline.root(), "globals");
    assert_eq!(
        rest(&written.last()),
        r#","service":"shop","zone":3,"request_id":"r"}"#
    );
}
