//! Log lines over OTLP, and the behavior that all signals share:
//! exported data, counts, and that nothing waits for a collector.

use std::io::Write;
use std::time::{Duration, Instant, SystemTime};

use ops_trace::testing::{Answer, Collector};
use ops_trace::{Config, LogLines, SignalStats, Tracer, span};

use crate::SOON;
use crate::lines::{lines_about, lines_of};

pub(crate) fn config(endpoint: &str, variables: &[(&str, &str)]) -> Config {
    Config::new("signals")
        .endpoint(endpoint)
        .export_delay(Duration::from_millis(100))
        .environment(variables.iter().copied())
}

fn with_lines(collector: &Collector) -> (LogLines, Tracer) {
    let lines = LogLines::new();
    let config = config(&collector.endpoint(), &[("OTEL_LOGS_EXPORTER", "OTLP")]);
    (
        lines.clone(),
        Tracer::new(config.log_lines(&lines)).unwrap(),
    )
}

pub(crate) fn write(mut lines: LogLines, line: &str) {
    // like a logger: one call for each line
    assert_eq!(lines.write(line.as_bytes()).unwrap(), line.len());
}

pub(crate) fn balanced(stats: &SignalStats) {
    let sum = stats.exported + stats.rejected + stats.queued + stats.dropped();
    assert_eq!(stats.taken, sum, "{stats:?}");
}

#[test]
fn a_line_arrives_with_time_severity_trace_and_each_field() {
    let collector = Collector::start().unwrap();
    let (lines, tracer) = with_lines(&collector);
    let ids = span!(tracer: tracer, "work").in_scope(|_| {
        write(
            lines.clone(),
            concat!(
                r#"{"timestamp":"2025-01-15T10:30:00.123Z","level":"critical","logger":"shop.pay","#,
                r#""event":"paid","trace_id":"no-trace","n":-3,"big":18446744073709551615,"ok":true,"#,
                r#""none":null,"price":1.5,"list":[1,"a"],"user":{"id":7}}"#,
                "\n"
            ),
        );
        // bound to another trace, for which it is unknown whether it is sampled
        write(
            lines.clone(),
            r#"{"event":"bound","trace_id":"0af7651916cd43dd8448eb211c80319c"}"#,
        );
        ops_trace::current_span_ids().unwrap()
    });
    write(lines.clone(), "not json at all");
    write(
        lines.clone(),
        r#"{"level":"loud","timestamp":"yesterday","event":3,"logger":null}"#,
    );
    write(
        lines,
        r#"{"level":"warning","event":"later","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7"}"#,
    );
    assert!(collector.wait_for_logs(5, SOON));
    let logs = collector.logs();
    let log = |body: &str| logs.iter().find(|log| log.body == body).unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();

    let paid = log("paid");
    assert_eq!(
        (paid.severity, &*paid.severity_text, &*paid.logger),
        (21, "critical", "shop.pay")
    );
    assert_eq!(
        paid.time,
        SystemTime::UNIX_EPOCH + Duration::from_millis(1_736_937_000_123)
    );
    assert_eq!(
        (&paid.trace_id, &paid.span_id),
        (&hex(&ids.trace_id), &hex(&ids.span_id))
    );
    assert!(paid.is_sampled);
    let bound = log("bound");
    assert_eq!(bound.trace_id, "0af7651916cd43dd8448eb211c80319c");
    assert!(bound.span_id.is_empty() && !bound.is_sampled, "{bound:?}");
    for (key, text) in [
        ("n", "-3"),
        ("big", "18446744073709551615"),
        ("ok", "true"),
        ("price", "1.5"),
        ("none", "None"),
    ] {
        assert_eq!(paid.attribute(key), Some(text), "{paid:?}");
    }
    assert!(
        paid.attribute("user").unwrap().contains("IntValue(7)"),
        "{paid:?}"
    );
    assert!(
        paid.attribute("list")
            .unwrap()
            .contains("StringValue(\"a\")"),
        "{paid:?}"
    );
    assert!(
        paid.resource
            .contains(&("service.name".to_owned(), "signals".to_owned()))
    );

    assert_eq!(log("not json at all").severity, 0);
    let odd = log("3");
    assert_eq!(
        (
            odd.severity,
            odd.attribute("level"),
            odd.attribute("timestamp")
        ),
        (0, Some("loud"), Some("yesterday"))
    );
    let later = log("later");
    assert_eq!(
        later.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736",
        "the trace that the line names"
    );
    assert_eq!((&*later.span_id, later.severity), ("00f067aa0ba902b7", 13));
    tracer.shutdown_blocking(SOON);
}

#[test]
fn a_line_of_another_logger_has_its_time_and_severity() {
    let collector = Collector::start().unwrap();
    let (lines, tracer) = with_lines(&collector);
    for (timestamp, level) in [
        ("2025-01-15T10:30:00.500000+00:00", "INFO"),
        ("2025-01-15T16:00:00.5+05:30", "Warn"),
        ("2025-01-15T02:30:00.5-08:00", "FATAL"),
    ] {
        let line = format!(r#"{{"timestamp":"{timestamp}","level":"{level}","event":"a"}}"#);
        write(lines.clone(), &line);
    }
    tracer.shutdown_blocking(SOON);
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_736_937_000_500);
    let logs = collector.logs();
    let read: Vec<_> = logs
        .iter()
        .map(|log| (log.time, log.severity, log.severity_text.as_str()))
        .collect();
    assert_eq!(read, [(at, 9, "INFO"), (at, 13, "Warn"), (at, 21, "FATAL")]);
    assert!(logs.iter().all(|log| log.attributes.is_empty()), "{logs:?}");
}

#[test]
fn a_line_has_its_time_in_each_form_of_rfc_3339_and_a_day_that_does_not_exist_stays_a_field() {
    let collector = Collector::start().unwrap();
    let (lines, tracer) = with_lines(&collector);
    let cases = [
        ("2024-02-29T12:00:00Z", Some(1_709_208_000)),
        ("2024-02-29t12:00:00z", Some(1_709_208_000)),
        ("2024-02-29 14:00:00.000000+02:00", Some(1_709_208_000)),
        ("2000-02-29T00:00:00Z", Some(951_782_400)),
        ("2025-02-29T12:00:00Z", None),
        ("2100-02-29T12:00:00Z", None),
        ("2025-02-31T12:00:00Z", None),
        ("2025-04-31T12:00:00Z", None),
        ("2025-01-00T12:00:00Z", None),
    ];
    for (timestamp, _) in cases {
        let line = format!(r#"{{"timestamp":"{timestamp}","event":"a"}}"#);
        write(lines.clone(), &line);
    }
    tracer.shutdown_blocking(SOON);
    for (log, (timestamp, seconds)) in collector.logs().iter().zip(cases) {
        match seconds {
            Some(seconds) => {
                let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
                assert_eq!(log.time, at, "{timestamp}");
                assert_eq!(log.attribute("timestamp"), None);
            }
            None => {
                assert!(log.time.elapsed().unwrap() < SOON, "{timestamp}: {log:?}");
                assert_eq!(log.attribute("timestamp"), Some(timestamp));
            }
        }
    }
    assert_eq!(collector.logs().len(), cases.len());
}

#[test]
fn lines_before_the_tracer_and_of_a_job_that_ends_at_once_arrive() {
    let collector = Collector::start().unwrap();
    let lines = LogLines::new();
    write(lines.clone(), r#"{"event":"first"}"#);
    let config = config(
        &collector.endpoint(),
        &[("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")],
    );
    let config = config.export_delay(2 * SOON).export_logs(true);
    let tracer = Tracer::new(config.log_lines(&lines)).unwrap();
    write(lines.clone(), r#"{"event":"last"}"#);
    let handle = tracer.handle();
    tracer.shutdown_blocking(SOON);
    let bodies: Vec<_> = collector.logs().into_iter().map(|log| log.body).collect();
    assert_eq!(bodies, ["first", "last"]);
    write(lines, r#"{"event":"too late"}"#);
    let stats = handle.log_stats().unwrap();
    balanced(&stats);
    assert_eq!((stats.exported, stats.dropped_shutdown), (2, 1));
}

#[test]
fn a_collector_that_hangs_makes_no_writer_wait_and_every_line_is_counted() {
    let collector = Collector::start().unwrap();
    collector.answer(Answer::Hang);
    let lines = LogLines::new();
    let config = config(&collector.endpoint(), &[("OTEL_LOGS_EXPORTER", "OTLP")]);
    let tracer = Tracer::new(config.export_timeout(SOON).log_lines(&lines)).unwrap();
    let line = format!(r#"{{"event":"x","pad":"{}"}}"#, "x".repeat(100));
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..5000).for_each(|_| write(lines.clone(), &line)));
        }
    });
    let written = started.elapsed();
    let stats = tracer.log_stats().unwrap();
    balanced(&stats);
    assert_eq!(stats.taken, 20_000);
    assert!(stats.queued <= 4096 + 512, "{stats:?}");
    assert!(stats.dropped_queue_full > 10_000, "{stats:?}");
    assert!(
        written < SOON / 2,
        "an export waits for a minute; writers waited {written:?}"
    );
    let handle = tracer.handle();
    let started = Instant::now();
    tracer.shutdown_blocking(Duration::from_millis(200));
    assert!(started.elapsed() < SOON / 2);
    let stats = handle.log_stats().unwrap();
    balanced(&stats);
    assert_eq!((stats.queued, stats.exported), (0, 0), "{stats:?}");
}

#[test]
fn large_lines_are_bounded_by_their_bytes() {
    let lines = LogLines::new();
    let (endpoint, _held) = crate::closed();
    let config = config(&endpoint, &[]).export_delay(2 * SOON);
    let tracer = Tracer::new(config.export_logs(true).log_lines(&lines)).unwrap();
    let line = format!(r#"{{"event":"{}"}}"#, "x".repeat(64 * 1024));
    for _ in 0..300 {
        write(lines.clone(), &line);
    }
    let stats = tracer.log_stats().unwrap();
    balanced(&stats);
    assert_eq!(
        (stats.queued, stats.dropped_queue_full),
        (127, 173),
        "8 MiB: {stats:?}"
    );
}

#[test]
fn an_outage_of_one_signal_is_its_own_and_one_line_when_it_begins_and_ends() {
    lines_about("nothing yet");
    let (spans, logs) = (Collector::start().unwrap(), Collector::start().unwrap());
    logs.answer(Answer::Status(500));
    let lines = LogLines::new();
    let url = format!("{}/v1/logs", logs.endpoint());
    let variables = [
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", url.as_str()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &spans.endpoint()),
        ("OTEL_LOGS_EXPORTER", "otlp"),
    ];
    let config = Config::new("x")
        .environment(variables)
        .export_delay(Duration::from_millis(100))
        .probe_after(Duration::from_millis(100))
        .log_lines(&lines);
    let tracer = Tracer::new(config).unwrap();
    let started = Instant::now();
    while tracer.log_stats().unwrap().dropped_circuit_open == 0 {
        assert!(started.elapsed() < SOON);
        write(lines.clone(), r#"{"event":"x"}"#);
        std::thread::park_timeout(Duration::from_millis(1));
    }
    drop(span!(tracer: tracer, "a"));
    tracer.flush();
    assert_eq!(tracer.stats().exported, 1, "spans do not suffer");
    logs.answer(Answer::Accept);
    while tracer.log_stats().unwrap().exported == 0 {
        assert!(started.elapsed() < SOON);
        write(lines.clone(), r#"{"event":"x"}"#);
        std::thread::park_timeout(Duration::from_millis(1));
    }
    let stats = tracer.log_stats().unwrap();
    balanced(&stats);
    assert!(stats.exporter_up && stats.last_failure.unwrap().contains("http status 500"));
    // an export is counted before it is logged
    while lines_about(&url).len() < 2 {
        assert!(started.elapsed() < SOON, "{:#?}", lines_about(&url));
        std::thread::park_timeout(Duration::from_millis(1));
    }
    let reported = lines_about(&url);
    assert_eq!(reported.len(), 2, "{reported:#?}");
    assert!(
        reported[0].starts_with("WARN ops_trace otlp_export_failing")
            && reported[0].contains("logs"),
        "{reported:#?}"
    );
    assert!(
        reported[1].starts_with("INFO ops_trace otlp_export_recovered"),
        "{reported:#?}"
    );
}

#[test]
fn an_endpoint_below_the_environment_is_for_signals_without_a_variable_of_their_own() {
    let (below, own) = (Collector::start().unwrap(), Collector::start().unwrap());
    for (variable, path) in [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "/v1/traces"),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "/v1/logs"),
    ] {
        let lines = LogLines::new();
        let url = format!("{}{path}", own.endpoint());
        let variables = [(variable, url.as_str()), ("OTEL_LOGS_EXPORTER", "otlp")];
        let config = Config::new("x").environment(variables);
        let config = config.endpoint(below.endpoint()).with_env();
        let tracer = Tracer::new(config.log_lines(&lines)).unwrap();
        write(lines.clone(), r#"{"event":"x"}"#);
        drop(span!(tracer: tracer, "a"));
        let handle = tracer.handle();
        tracer.shutdown_blocking(SOON);
        let stats = handle.log_stats().unwrap();
        assert_eq!(
            (handle.stats().exported, stats.exported),
            (1, 1),
            "{variable}: {stats:?}"
        );
    }
    // each received the spans of one round and the lines of the other
    for collector in [&below, &own] {
        assert_eq!((collector.spans().len(), collector.logs().len()), (1, 1));
    }
}

#[test]
fn a_disabled_sdk_exports_no_lines() {
    let config = |disabled| {
        let variables = [
            ("OTEL_LOGS_EXPORTER", "otlp"),
            ("OTEL_SDK_DISABLED", disabled),
        ];
        Config::new("x").environment(variables)
    };
    assert!(config("false").exports_logs());
    assert!(!config("true").exports_logs());
}

#[test]
fn refused_lines_are_counted_as_such() {
    let collector = Collector::start().unwrap();
    collector.answer(Answer::PartialSuccess(2, "too old".to_owned()));
    let (lines, tracer) = with_lines(&collector);
    for _ in 0..5 {
        write(lines.clone(), r#"{"event":"x"}"#);
    }
    let handle = tracer.handle();
    tracer.shutdown_blocking(SOON);
    let stats = handle.log_stats().unwrap();
    balanced(&stats);
    assert_eq!(stats.exported + stats.rejected, 5, "{stats:?}");
    assert!(stats.rejected >= 2, "{stats:?}");
}

#[test]
fn a_message_for_accepted_lines_is_logged_once() {
    lines_about("nothing yet");
    let collector = Collector::start().unwrap();
    let (lines, tracer) = with_lines(&collector);
    for message in ["deprecated", "deprecated", "moved"] {
        collector.answer(Answer::PartialSuccess(0, message.to_owned()));
        let before = tracer.log_stats().unwrap().exported;
        write(lines.clone(), r#"{"event":"x"}"#);
        let started = Instant::now();
        while tracer.log_stats().unwrap().exported == before {
            assert!(started.elapsed() < SOON);
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
    tracer.shutdown_blocking(SOON);
    let reported = lines_about(&format!("{}/v1/logs", collector.endpoint()));
    let reported: Vec<_> = reported
        .iter()
        .filter(|line| line.contains("otlp_collector_warning"))
        .collect();
    assert_eq!(reported.len(), 2, "{reported:#?}");
    assert!(
        reported[0].contains("deprecated") && reported[1].contains("moved"),
        "{reported:#?}"
    );
}

#[test]
fn lines_have_variables_of_their_own() {
    let collector = Collector::start().unwrap();
    let variables = [
        ("OTEL_LOGS_EXPORTER", "otlp"),
        ("OTEL_BSP_SCHEDULE_DELAY", "60000"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "100"),
        ("OTEL_BLRP_MAX_QUEUE_SIZE", "10"),
        ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "512"),
    ];
    let lines = LogLines::new();
    let config = Config::new("signals")
        .endpoint(collector.endpoint())
        .environment(variables)
        .log_lines(&lines);
    let (tracer, reported) = lines_of(|| Tracer::new(config).unwrap());
    let reported: Vec<_> = reported
        .iter()
        .filter(|line| line.contains("BLRP"))
        .collect();
    assert_eq!(reported.len(), 1, "{reported:#?}");
    assert!(
        reported[0].contains("OTEL_BLRP_MAX_QUEUE_SIZE") && reported[0].ends_with("used=4096"),
        "{reported:#?}"
    );
    write(lines, r#"{"event":"x"}"#);
    let started = Instant::now();
    while tracer.log_stats().unwrap().exported == 0 {
        assert!(started.elapsed() < SOON);
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

#[test]
fn fields_of_lines_have_the_limits_of_the_variables() {
    let line = r#"{"event":"x","a":"zürich","b":["äöü",7],"c":{"d":"12345"},"e":123456}"#;
    for (variables, attributes, dropped) in [
        (
            vec![("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "2")],
            vec![("a", "zü"), ("b", "äö\""), ("c", "\"12\""), ("e", "123456")],
            0,
        ),
        (
            vec![
                ("OTEL_ATTRIBUTE_COUNT_LIMIT", "1"),
                ("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "3"),
                ("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "6"),
                ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "2"),
            ],
            vec![("a", "zürich"), ("b", "äöü"), ("c", "12345")],
            1,
        ),
    ] {
        let collector = Collector::start().unwrap();
        let lines = LogLines::new();
        let config = config(&collector.endpoint(), &variables)
            .export_logs(true)
            .log_lines(&lines);
        let tracer = Tracer::new(config).unwrap();
        write(lines, line);
        assert!(collector.wait_for_logs(1, SOON));
        let log = collector.logs().remove(0);
        assert_eq!((&*log.body, log.attributes_dropped), ("x", dropped));
        assert_eq!(log.attributes.len(), attributes.len(), "{log:?}");
        for (key, text) in attributes {
            assert!(log.attribute(key).unwrap().contains(text), "{log:?}");
        }
        tracer.shutdown_blocking(SOON);
    }
}

#[test]
fn nothing_is_sent_unless_enabled_and_invalid_values_are_logged() {
    lines_about("nothing yet");
    let collector = Collector::start().unwrap();
    let endpoint = collector.endpoint();
    for (variables, logs, metrics) in [
        (vec![], false, false),
        (
            vec![
                ("OTEL_LOGS_EXPORTER", "none"),
                ("OTEL_METRICS_EXPORTER", "None"),
            ],
            false,
            false,
        ),
        (
            vec![
                ("OTEL_LOGS_EXPORTER", "Otlp"),
                ("OTEL_METRICS_EXPORTER", "prometheus"),
            ],
            true,
            false,
        ),
        (
            vec![
                ("OTEL_LOGS_EXPORTER", "otlp"),
                ("OTEL_SDK_DISABLED", "true"),
            ],
            false,
            false,
        ),
        (
            vec![
                ("OTEL_LOGS_EXPORTER", "console, OTLP"),
                ("OTEL_METRICS_EXPORTER", "otlp,prometheus"),
                (
                    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
                    "base2_exponential_bucket_histogram",
                ),
            ],
            true,
            true,
        ),
    ] {
        let lines = LogLines::new();
        let config = config(&endpoint, &variables)
            .log_lines(&lines)
            .metrics_source(|_| {});
        let tracer = Tracer::new(config).unwrap();
        assert_eq!(
            (
                tracer.log_stats().is_some(),
                tracer.metric_stats().is_some()
            ),
            (logs, metrics),
            "{variables:?}"
        );
    }
    let reported = lines_about("OTEL_METRICS_EXPORTER");
    assert!(
        reported
            .iter()
            .any(|line| line.contains("prometheus") && line.contains("none, otlp")),
        "{reported:#?}"
    );
    let of_list = reported
        .iter()
        .find(|line| line.contains("otlp,prometheus"));
    assert!(of_list.unwrap().ends_with("used=otlp"), "{reported:#?}");
    let reported = lines_about("HISTOGRAM_AGGREGATION");
    let accepted = "accepted=explicit_bucket_histogram";
    assert!(
        reported.iter().any(|line| line.contains(accepted)),
        "{reported:#?}"
    );
}
