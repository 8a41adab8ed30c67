//! Variables that are invalid, wholly or in part.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use ops_trace::testing::Collector;
use ops_trace::{Config, Error, Tracer, span};

use crate::lines::lines_of;

const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";

/// Returns the text, followed by a byte that is not UTF-8.
fn broken(text: &str) -> OsString {
    OsString::from_vec([text.as_bytes(), b"\xff"].concat())
}

fn header(collector: &Collector, name: &str) -> Option<String> {
    let headers = collector.last_headers();
    let mut named = headers.into_iter().filter(|(n, _)| n == name);
    let value = named.next().map(|(_, value)| value);
    assert_eq!(named.next(), None, "{name} is there once at most");
    value
}

#[test]
fn a_value_that_is_not_utf8_is_wrong_and_not_unset() {
    for (variable, value, used) in [
        ("OTEL_TRACES_SAMPLER", "always_off", "parentbased_always_on"),
        ("OTEL_SDK_DISABLED", "true", "false"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100", "2048"),
        ("OTEL_TRACES_EXPORTER", "none", "otlp"),
        ("OTEL_SERVICE_NAME", "shop", "treated as unset"),
        (HEADERS, "api-key=hunter2", "0 of 1 pairs"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "k=hunter2", "0 of 1"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=1,b=2", "1 of 2 pairs"),
        ("OTEL_PROPAGATORS", "none", "tracecontext"),
        ("OPS_TRACE_FILTER", "debug", "info"),
        ("OPS_RESOURCE_DETECTORS", "host", "the known detectors"),
    ] {
        let collector = Collector::start().unwrap();
        let config = Config::new("code").endpoint(collector.endpoint());
        let config = config.environment([(variable, broken(value))]).with_env();
        let config = config.endpoint(collector.endpoint());
        let (tracer, lines) = lines_of(|| Tracer::new(config).unwrap());
        let logged: Vec<_> = lines.iter().filter(|l| l.contains(variable)).collect();
        assert_eq!(logged.len(), 1, "{variable}: {lines:#?}");
        assert!(
            logged[0].starts_with("WARN ops_trace variable_not_usable"),
            "{}",
            logged[0]
        );
        assert!(logged[0].contains(&format!("used={used}")), "{}", logged[0]);
        assert!(!lines.concat().contains("hunter2"), "{lines:#?}");
        drop(span!(tracer: tracer, "a"));
        tracer.flush();
        let spans = collector.spans();
        assert_eq!(spans.len(), 1, "{variable}");
        assert_eq!(spans[0].resource("service.name"), Some("code"));
    }
}

#[test]
fn the_general_variable_applies_if_that_of_the_signal_is_invalid() {
    for (own, general, used) in [
        (
            ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "x"),
            ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "5"),
            "5",
        ),
        (
            ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "-1"),
            ("OTEL_ATTRIBUTE_COUNT_LIMIT", "1"),
            "1",
        ),
        (
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "10s"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "59000"),
            "59000",
        ),
        (
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "10s"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
            "0",
        ),
        (
            ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "zstd"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            "gzip",
        ),
    ] {
        let collector = Collector::start().unwrap();
        let config = Config::new("it").endpoint(collector.endpoint());
        let tracer = Tracer::new(config.environment([own, general])).unwrap();
        assert_eq!(tracer.unusable(), [(own.0, used.to_owned())]);
        drop(span!(tracer: tracer, "a", b = "0123456789", c = true));
        tracer.flush();
        let span = collector.spans().remove(0);
        let text = if used == "5" { "01234" } else { "0123456789" };
        assert_eq!(span.attribute("b"), Some(text), "{}", own.0);
        assert_eq!(span.attributes.len(), if used == "1" { 1 } else { 2 });
        let encoding = header(&collector, "content-encoding");
        assert_eq!(encoding.is_some(), used == "gzip", "{}", own.0);
    }
}

/// Returns the settings of a file, before the environment is applied.
fn of_a_file() -> Config {
    let config = Config::new("it").sampling_ratio(0.05).queue_spans(8192);
    let config = config.export_timeout(Duration::from_secs(7));
    let config = config.export_delay(Duration::from_millis(1234));
    config.keep_slow(true).export_logs(false)
}

#[test]
fn an_invalid_variable_leaves_the_setting_below_it() {
    for (variable, value, used) in [
        ("OTEL_TRACES_SAMPLER_ARG", "0.2", "used=0.05"),
        (
            "OTEL_TRACES_SAMPLER",
            "bogus",
            "used=parentbased_traceidratio, 0.05",
        ),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "abc", "used=8192"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1", "used=1234"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "used=7000"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "5s", "used=7000"),
        ("OTEL_LOGS_EXPORTER", "kafka", "used=none"),
        ("OPS_TRACE_KEEP", "slowly", "used=slow"),
    ] {
        let config = of_a_file().environment([
            (variable, value),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
        ]);
        let (tracer, lines) = lines_of(|| Tracer::new(config.with_env()).unwrap());
        let logged: Vec<_> = lines.iter().filter(|l| l.contains(variable)).collect();
        assert_eq!(logged.len(), 1, "{variable}: {lines:#?}");
        assert!(logged[0].ends_with(used), "{}", logged[0]);
        assert_eq!(tracer.sampling_ratio(), 0.05, "{variable}");
    }
}

#[test]
fn a_valid_variable_wins_over_the_setting_below_it() {
    for (sampler, ratio) in [
        (&[("OTEL_TRACES_SAMPLER", "always_on")][..], 1.0),
        (&[("OTEL_TRACES_SAMPLER", "traceidratio")], 0.05),
        (
            &[
                ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
                ("OTEL_TRACES_SAMPLER_ARG", "0.2"),
            ],
            0.2,
        ),
        (
            &[
                ("OTEL_TRACES_SAMPLER", "traceidratio"),
                ("OTEL_TRACES_SAMPLER_ARG", "20 %"),
            ],
            0.05,
        ),
    ] {
        let config = of_a_file().environment(sampler.iter().copied());
        let tracer = Tracer::new(config.clone().with_env()).unwrap();
        assert_eq!(tracer.sampling_ratio(), ratio, "{sampler:?}");
        // a setting made after the environment was applied wins over both
        let tracer = Tracer::new(config.with_env().sampling_ratio(0.5)).unwrap();
        assert_eq!(tracer.sampling_ratio(), 0.5);
    }
    let out_of_range = Config::new("it").sampling_ratio(5.0);
    let always = [("OTEL_TRACES_SAMPLER", "always_on")];
    drop(Tracer::new(out_of_range.clone().environment(always).with_env()).unwrap());
    let error = Tracer::new(out_of_range.environment([("A", "b")]).with_env());
    assert!(matches!(error, Err(Error::InvalidRatio { .. })));
}

#[test]
fn an_endpoint_that_is_not_utf8_is_an_error_and_not_localhost() {
    for variable in [
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    ] {
        let config = Config::new("it").environment([(variable, broken("http://h:4318/"))]);
        let error = Tracer::new(config).err().unwrap();
        assert!(matches!(error, Error::InvalidEndpoint { .. }), "{error}");
        assert!(error.to_string().starts_with(variable), "{error}");
    }
}

#[test]
fn a_header_that_cannot_be_sent_is_left_out_and_named_without_its_value() {
    for (list, reason, used) in [
        (
            "api-key=hunter2%0A",
            "api-key: the value contains a control character",
            "0 of 1",
        ),
        (
            "ok=1,api-key=hunter2%0D%0AX: y",
            "api-key: the value contains a control",
            "1 of 2",
        ),
        (
            "api-key=hunter2\u{1}",
            "api-key: the value contains a control character",
            "0 of 1",
        ),
        (
            "api-key=hunter2%FF",
            "pair 1: the value is not UTF-8",
            "0 of 1",
        ),
        (
            "ok=1,api hunter2=abc",
            "pair 2: the key is not a valid header name",
            "1 of 2",
        ),
        ("ok=1,hunter2", "pair 2: missing `=`", "1 of 2"),
        ("ok=1,=hunter2", "pair 2: the key is empty", "1 of 2"),
        (
            "hunter2,a b=c,x=%0A,ok=1",
            "x: the value contains a control character",
            "1 of 4",
        ),
        (
            "content-length=5",
            "content-length: set by the exporter",
            "0 of 1",
        ),
        (
            "Content-Type=text/plain,ok=1",
            "content-type: set by the exporter",
            "1 of 2",
        ),
        (
            "content-encoding=br",
            "content-encoding: set by the exporter",
            "0 of 1",
        ),
        ("host=evil", "host: set by the exporter", "0 of 1"),
        (
            "transfer-encoding=chunked",
            "transfer-encoding: set by the exporter",
            "0 of 1",
        ),
        (
            "connection=close",
            "connection: set by the exporter",
            "0 of 1",
        ),
        ("te=trailers", "te: set by the exporter", "0 of 1"),
        ("upgrade=h2c", "upgrade: set by the exporter", "0 of 1"),
        ("keep-alive=5", "keep-alive: set by the exporter", "0 of 1"),
        (
            "proxy-authorization=hunter2",
            "proxy-authorization: set by the exporter",
            "0 of 1",
        ),
    ] {
        let collector = Collector::start().unwrap();
        let config = Config::new("it").endpoint(collector.endpoint());
        let config = config.environment([(HEADERS, list)]);
        let (tracer, lines) = lines_of(|| Tracer::new(config).unwrap());
        assert_eq!(lines.len(), 2, "{list}: {lines:#?}");
        assert!(lines[0].contains("variable_not_usable"), "{lines:#?}");
        assert!(lines[0].contains(reason), "{list}: {lines:#?}");
        assert!(lines[0].contains(&format!("used={used}")), "{lines:#?}");
        assert!(!lines[0].contains("hunter2"), "{list}: {lines:#?}");
        drop(span!(tracer: tracer, "a"));
        tracer.flush();
        assert_eq!(collector.spans().len(), 1, "{list}: {:?}", tracer.stats());
        let ok = list.contains("ok=1").then_some("1");
        assert_eq!(header(&collector, "ok").as_deref(), ok, "{list}");
        assert_eq!(header(&collector, "api-key"), None, "{list}");
        let kind = header(&collector, "content-type");
        assert_eq!(kind.as_deref(), Some("application/x-protobuf"), "{list}");
        let host = collector.endpoint().replace("http://", "");
        assert_eq!(header(&collector, "host"), Some(host), "{list}");
        assert_eq!(header(&collector, "transfer-encoding"), None, "{list}");
    }
}

#[test]
fn a_percent_sign_that_was_encoded_is_decoded_once() {
    let collector = Collector::start().unwrap();
    let config = Config::new("it").endpoint(collector.endpoint());
    let config = config.environment([(HEADERS, "key=100%2525,name=caf%C3%A9")]);
    let (tracer, lines) = lines_of(|| Tracer::new(config).unwrap());
    assert_eq!(lines.len(), 1, "{lines:#?}");
    drop(span!(tracer: tracer, "a"));
    tracer.flush();
    assert_eq!(header(&collector, "key").as_deref(), Some("100%25"));
    assert_eq!(tracer.stats().exported, 1);
}

/// Runs in a separate process: OpenTelemetry's libraries read the
/// variables of the process directly, which this test has to set.
#[test]
fn headers_that_were_refused_do_not_come_back_from_the_process() {
    const COLLECTOR: &str = "OPS_TEST_COLLECTOR";
    if let Ok(endpoint) = std::env::var(COLLECTOR) {
        let tracer = Tracer::new(Config::new("child").endpoint(endpoint)).unwrap();
        drop(span!(tracer: tracer, "a"));
        tracer.flush();
        println!("exported {}", tracer.stats().exported);
        return;
    }
    for compression in ["none", "gzip"] {
        let collector = Collector::start().unwrap();
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let output = child
            .args([
                "--exact",
                "unusable::headers_that_were_refused_do_not_come_back_from_the_process",
                "--nocapture",
            ])
            .env(COLLECTOR, collector.endpoint())
            .env(
                HEADERS,
                "content-length=5,host=evil,transfer-encoding=chunked,content-encoding=br,content-type=x,ok=100%2525",
            )
            .env("OTEL_EXPORTER_OTLP_COMPRESSION", compression)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("exported 1"), "{text}");
        assert_eq!(collector.spans().len(), 1);
        assert_eq!(header(&collector, "ok").as_deref(), Some("100%25"));
        assert_eq!(header(&collector, "transfer-encoding"), None);
        let kind = header(&collector, "content-type");
        assert_eq!(kind.as_deref(), Some("application/x-protobuf"));
        let encoding = header(&collector, "content-encoding");
        assert_eq!(
            encoding.as_deref(),
            (compression == "gzip").then_some("gzip")
        );
    }
}

#[test]
fn a_setting_out_of_range_is_clamped_and_logged_once() {
    let file =
        "queue_spans: 10\nexport_timeout_ms: 600000\nexport_delay_ms: 5\nprobe_after_ms: 0\n";
    let logged = |config: Config| {
        let config = config.service_name("code").export_logs(true);
        let lines = ops_trace::LogLines::new();
        let (tracer, lines) = lines_of(|| Tracer::new(config.log_lines(&lines)).unwrap());
        assert_eq!(tracer.stats().queue_capacity, 64);
        let logged = lines
            .iter()
            .filter(|line| line.contains("variable_not_usable"));
        logged.cloned().collect::<Vec<_>>()
    };
    let config: Config = serde_yaml::from_str(file).unwrap();
    let config = config.environment([("OTEL_SERVICE_NAME", "code")]);
    for config in [config.clone(), config.with_env()] {
        let lines = logged(config);
        for expected in [
            "variable=queue_spans value=10 accepted=a number from 64 to 65536 used=64",
            "variable=export_timeout_ms value=600000 accepted=a number from 10 to 60000 used=60000",
            "variable=export_delay_ms value=5 accepted=a number from 100 to 86400000 used=100",
            "variable=probe_after_ms value=0 accepted=a number from 100 to 86400000 used=100",
        ] {
            let found = lines.iter().filter(|line| line.ends_with(expected));
            assert_eq!(found.count(), 1, "{expected}: {lines:#?}");
        }
        assert_eq!(lines.len(), 4, "{lines:#?}");
    }
    let variables = [
        ("OTEL_SERVICE_NAME", "code"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "64"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1000"),
        ("OTEL_BSP_SCHEDULE_DELAY", "1000"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "1000"),
    ];
    let config: Config = serde_yaml::from_str(file).unwrap();
    let lines = logged(config.environment(variables).with_env());
    assert_eq!(lines.len(), 1, "nobody uses the others: {lines:#?}");
    assert!(lines[0].contains("probe_after_ms"), "{lines:#?}");
    let config = crate::config("http://127.0.0.1:1").queue_spans(1);
    let config = config.export_delay(Duration::from_secs(100_000));
    let lines = logged(config.environment([("OTEL_SERVICE_NAME", "code")]));
    let delay = "variable=export_delay_ms value=100000000 accepted=a number from 100 to 86400000 used=86400000";
    assert!(lines.iter().any(|line| line.ends_with(delay)), "{lines:#?}");
}

#[test]
fn a_pause_without_an_end_stops_no_export() {
    let (endpoint, _held) = crate::closed();
    let config = crate::config(&endpoint)
        .probe_after(Duration::MAX)
        .export_delay(Duration::MAX);
    let tracer = Tracer::new(config).unwrap();
    for _ in 0..4 {
        drop(span!(tracer: tracer, "a"));
        crate::flush_all(&tracer);
    }
    let stats = tracer.stats();
    assert_eq!(
        (stats.dropped_export_failed, stats.dropped_circuit_open),
        (3, 1),
        "{stats:?}"
    );
}
