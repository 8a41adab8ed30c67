use std::time::{Duration, Instant};

use ops_trace::testing::{Answer, Collector};
use ops_trace::{Config, Error, Tracer, span};

use crate::lines::lines_of;

fn tracer(collector: &Collector, variables: &[(&str, &str)]) -> Tracer {
    let endpoint = collector.endpoint();
    let all = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    let all = all.into_iter().chain(variables.iter().copied());
    Tracer::new(Config::new("env").environment(all)).unwrap()
}

fn exported(variables: &[(&str, &str)]) -> (Collector, Tracer) {
    let collector = Collector::start().unwrap();
    let tracer = tracer(&collector, variables);
    span!(tracer: tracer, "a", text = "0123456789", n = 1)
        .in_scope(|span| span.set_attribute("m", 2));
    tracer.flush();
    (collector, tracer)
}

#[test]
fn endpoints_are_read_by_the_rules_of_the_specification() {
    let collector = Collector::start().unwrap();
    let base = collector.endpoint();
    let traces = format!("{base}/v1/traces");
    let (elsewhere, slash) = ("http://127.0.0.1:9/v1/traces", format!("{base}/"));
    let general = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let special = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    for (given, variables, arrives) in [
        (None, vec![(general, base.as_str())], true),
        (None, vec![(general, slash.as_str())], true),
        (
            None,
            vec![(special, traces.as_str()), (general, elsewhere)],
            true,
        ),
        (None, vec![(special, base.as_str())], false), // as it is: no path
        (Some(base.as_str()), vec![(special, elsewhere)], true),
        (Some(traces.as_str()), vec![], true),
        (Some("  "), vec![(general, base.as_str())], true),
    ] {
        let mut config = Config::new("env").environment(variables.clone());
        if let Some(endpoint) = given {
            config = config.endpoint(endpoint);
        }
        let tracer = Tracer::new(config).unwrap();
        drop(span!(tracer: tracer, "a"));
        tracer.flush();
        let exported = tracer.stats().exported;
        assert_eq!(exported == 1, arrives, "{given:?} {variables:?}");
    }
    let bad = (general, "localhost:4318");
    let error = Tracer::new(Config::new("env").environment([bad]))
        .err()
        .unwrap();
    assert!(matches!(error, Error::InvalidEndpoint { .. }));
    assert!(
        error
            .to_string()
            .starts_with("OTEL_EXPORTER_OTLP_ENDPOINT: "),
        "{error}"
    );
    for off in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ] {
        assert!(Tracer::new(Config::new("env").environment([bad, off])).is_ok());
    }
}

#[test]
fn the_service_name_comes_from_the_code_then_the_variable_then_the_resource() {
    for (name, variables, expected) in [
        ("code", vec![("OTEL_SERVICE_NAME", "variable")], "code"),
        (" ", vec![("OTEL_SERVICE_NAME", "variable")], "variable"),
        (
            "",
            vec![("OTEL_RESOURCE_ATTRIBUTES", "service.name=resource")],
            "resource",
        ),
    ] {
        let collector = Collector::start().unwrap();
        let config = Config::new(name).endpoint(collector.endpoint());
        let tracer = Tracer::new(config.environment(variables)).unwrap();
        drop(span!(tracer: tracer, "a"));
        tracer.flush();
        assert_eq!(
            collector.spans()[0].resource("service.name"),
            Some(expected)
        );
    }
}

#[test]
fn headers_and_compression_are_applied() {
    let (collector, tracer) = exported(&[
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b,x-tenant=t"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
    ]);
    let headers = collector.last_headers();
    let header = |name: &str| {
        headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    };
    assert_eq!(header("api-key"), Some("a b"));
    assert_eq!(header("x-tenant"), Some("t"));
    assert_eq!(header("content-encoding"), Some("gzip"));
    assert_eq!(header("content-type"), Some("application/x-protobuf"));
    assert_eq!((tracer.stats().exported, collector.spans().len()), (1, 1));
}

#[test]
fn attribute_limits_are_applied() {
    let (collector, _tracer) = exported(&[
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "4"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "2"),
    ]);
    assert_eq!(collector.snapshot(), "a text=0123...(truncated) n=1\n");
}

#[test]
fn a_disabled_sdk_makes_no_span_and_an_exporter_of_none_keeps_them_here() {
    for value in ["true", "TRUE"] {
        let (collector, tracer) = exported(&[("OTEL_SDK_DISABLED", value)]);
        assert_eq!(collector.requests(), 0);
        assert_eq!(tracer.stats().ended_sampled, 0);
        assert!(tracer.recent().recent.is_empty());
    }
    let (collector, tracer) = exported(&[("OTEL_TRACES_EXPORTER", "none")]);
    assert_eq!(collector.requests(), 0);
    assert_eq!(tracer.stats().dropped_no_exporter, 1);
    assert_eq!(tracer.recent().recent.len(), 1);
}

#[test]
fn samplers_are_those_of_the_specification() {
    for (sampler, argument, root, below_unsampled) in [
        ("always_on", "", true, true),
        ("always_off", "", false, false),
        ("traceidratio", "1.0", true, true),
        ("traceidratio", "0", false, false),
        ("parentbased_always_on", "", true, false),
        ("parentbased_always_off", "", false, false),
        ("parentbased_traceidratio", "1", true, false),
        ("parentbased_traceidratio", "0", false, false),
        ("", "0", false, false),
    ] {
        let collector = Collector::start().unwrap();
        let variables = [
            ("OTEL_TRACES_SAMPLER", sampler),
            ("OTEL_TRACES_SAMPLER_ARG", argument),
        ];
        let tracer = tracer(&collector, &variables);
        let unsampled = tracer_that_samples_nothing();
        let found = span!(tracer: tracer, "root").is_recording();
        let parent = span!(tracer: unsampled, "parent");
        let below = parent.in_scope(|_| span!(tracer: tracer, "child").is_recording());
        assert_eq!(
            (found, below),
            (root, below_unsampled),
            "{sampler} {argument}"
        );
    }
}

fn tracer_that_samples_nothing() -> Tracer {
    let config = Config::new("env").sampling_ratio(0.0);
    Tracer::new(config.environment([("OTEL_TRACES_EXPORTER", "none")])).unwrap()
}

#[test]
fn a_timeout_of_the_environment_bounds_an_export() {
    let collector = Collector::start().unwrap();
    collector.answer(Answer::Hang);
    let tracer = tracer(&collector, &[("OTEL_EXPORTER_OTLP_TIMEOUT", "50")]);
    drop(span!(tracer: tracer, "a"));
    let started = Instant::now();
    tracer.flush();
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(tracer.stats().failures.timeout, 1);
}

#[test]
fn values_that_would_break_the_sdk_are_clamped_and_told_once_each() {
    let collector = Collector::start().unwrap();
    let bad = [
        ("OTEL_BSP_SCHEDULE_DELAY", "0", "100"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "64"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "100000", "64"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "soon", "3000"),
        ("OTEL_TRACES_SAMPLER", "coin", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "nan", "1"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "otlp"),
        ("OTEL_SDK_DISABLED", "yes", "false"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "none"),
        ("OTEL_PROPAGATORS", "b3", "tracecontext"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "1000000", "4096"),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "-1", "128"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "novalue",
            "the 0 pairs that are well formed",
        ),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "hunter2",
            "the 0 pairs that are well formed",
        ),
    ];
    let variables: Vec<_> = bad.iter().map(|(name, value, _)| (*name, *value)).collect();
    let (tracer, lines) = lines_of(|| tracer(&collector, &variables));
    for (name, _, used) in bad {
        let told: Vec<_> = lines
            .iter()
            .filter(|line| line.contains(&format!("={name} ")))
            .collect();
        assert_eq!(told.len(), 1, "{name}: {lines:#?}");
        assert!(told[0].contains(&format!("used={used}")), "{}", told[0]);
        assert!(
            told[0].starts_with("WARN ops_trace variable_not_usable"),
            "{}",
            told[0]
        );
    }
    assert!(
        !lines.iter().any(|line| line.contains("hunter2")),
        "{lines:#?}"
    );
    assert_eq!(lines.len(), bad.len() + 1, "{lines:#?}");
    for _ in 0..200 {
        drop(span!(tracer: tracer, "a"));
    }
    assert_eq!(tracer.stats().queue_capacity, 64);
    tracer.flush();
    assert!(tracer.stats().exported >= 64, "it works all the same");
}

#[test]
fn the_start_is_told_in_one_line_that_says_where_spans_go() {
    let collector = Collector::start().unwrap();
    let (_tracer, lines) = lines_of(|| tracer(&collector, &[("OTEL_TRACES_SAMPLER_ARG", "0.25")]));
    let url = format!("{}/v1/traces", collector.endpoint());
    assert_eq!(
        lines,
        [format!(
            "INFO ops_trace tracer_initialized endpoint={url} protocol=http/protobuf \
             sampler=parentbased_traceidratio ratio=0.25"
        )]
    );
    let grpc = Config::new("env").endpoint("http://127.0.0.1:4317");
    let (_tracer, lines) = lines_of(|| Tracer::new(grpc.environment([("", ""); 0])).unwrap());
    assert!(lines[0].contains("4317 is the one for gRPC"), "{lines:#?}");
    let off = Config::new("env").environment([("OTEL_SDK_DISABLED", "true")]);
    let (_tracer, lines) = lines_of(|| Tracer::new(off).unwrap());
    assert_eq!(lines, ["INFO ops_trace tracer_initialized disabled=true"]);
}
