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
    assert_eq!(format!("{error:?}"), error.to_string(), "what `main` shows");
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
fn an_endpoint_that_nobody_set_is_known_as_the_default() {
    let url = "http://127.0.0.1:9";
    let none: [(&str, &str); 0] = [];
    let empty = Config::new("env").environment(none);
    let lower = empty.clone().endpoint(url).with_env();
    for (config, is_default) in [
        (empty.clone(), true),
        (empty.clone().endpoint("  "), true),
        (empty.clone().endpoint(url), false),
        (lower.environment(none), false),
        (
            empty.environment([("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url)]),
            false,
        ),
    ] {
        let health = Tracer::new(config).unwrap().export_health();
        assert_eq!(health.is_default_endpoint, is_default, "{health:?}");
        assert!(health.endpoint.is_some());
    }
}

#[test]
fn the_service_name_comes_from_the_variable_then_the_resource_then_the_code() {
    let resource = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=resource,team=a");
    let variable = ("OTEL_SERVICE_NAME", "variable");
    for (name, variables, expected) in [
        ("code", vec![], "code"),
        ("code", vec![variable], "variable"),
        ("code", vec![resource], "resource"),
        ("code", vec![resource, variable], "variable"),
        ("code", vec![("OTEL_SERVICE_NAME", " ")], "code"),
        (
            "code",
            vec![("OTEL_RESOURCE_ATTRIBUTES", "service.name=")],
            "code",
        ),
        (" ", vec![variable], "variable"),
        ("", vec![resource], "resource"),
    ] {
        for own in [false, true] {
            let collector = Collector::start().unwrap();
            let mut config = Config::new(name).endpoint(collector.endpoint());
            if own && !name.trim().is_empty() {
                config = Config::new("other").endpoint(collector.endpoint());
                config = config.resource_attribute("service.name", name);
            }
            let config = config.environment(variables.clone());
            assert_eq!(config.resolved_service_name().as_deref(), Some(expected));
            let (tracer, lines) = lines_of(|| Tracer::new(config).unwrap());
            drop(span!(tracer: tracer, "a"));
            tracer.flush();
            let span = &collector.spans()[0];
            assert_eq!(span.resource("service.name"), Some(expected));
            assert!(
                lines[0].contains(&format!(" service={expected} ")),
                "{lines:#?}"
            );
        }
    }
    let nothing = Config::new(" ").environment([("OTEL_TRACES_EXPORTER", "none")]);
    assert!(matches!(Tracer::new(nothing), Err(Error::EmptyServiceName)));
}

#[test]
fn the_resource_has_what_is_required_and_decoded_keys_and_the_program_wins() {
    let collector = Collector::start().unwrap();
    let attributes = "a%2Cb=1%3D2,team=operator,service.version=0";
    let config = Config::new("env")
        .endpoint(collector.endpoint())
        .service_version("9")
        .resource_attribute("team", "program")
        .environment([("OTEL_RESOURCE_ATTRIBUTES", attributes)]);
    let tracer = Tracer::new(config).unwrap();
    drop(span!(tracer: tracer, "a"));
    tracer.flush();
    let span = &collector.spans()[0];
    for (key, value) in [
        ("a,b", "1=2"),
        ("team", "program"),
        ("service.version", "9"),
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.name", "opentelemetry"),
        ("telemetry.distro.name", "ops-trace"),
    ] {
        assert_eq!(span.resource(key), Some(value), "{key}");
    }
    let version = span.resource("telemetry.sdk.version").unwrap();
    assert!(version.starts_with("0."), "{version}");
    assert_eq!(span.resource("service.instance.id").unwrap().len(), 36);
}

#[test]
fn names_in_variables_have_no_case() {
    let (collector, none) = exported(&[("OTEL_TRACES_EXPORTER", "None")]);
    assert_eq!(
        (collector.requests(), none.stats().dropped_no_exporter),
        (0, 1)
    );
    let (collector, off) = exported(&[("OTEL_TRACES_SAMPLER", "ALWAYS_OFF")]);
    assert_eq!((collector.requests(), off.stats().ended_sampled), (0, 0));
    let collector = Collector::start().unwrap();
    let variables = [
        ("OTEL_TRACES_EXPORTER", "OTLP"),
        ("OTEL_TRACES_SAMPLER", "ParentBased_TraceIdRatio"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "GZIP"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "HTTP/protobuf"),
        ("OTEL_PROPAGATORS", "TRACECONTEXT,Baggage"),
        ("OTEL_SDK_DISABLED", "False"),
        ("OPS_TRACE_KEEP", "Errors, SLOW"),
    ];
    let (tracer, lines) = lines_of(|| tracer(&collector, &variables));
    assert_eq!(lines.len(), 1, "{lines:#?}");
    drop(span!(tracer: tracer, "a"));
    tracer.flush();
    let headers = collector.last_headers();
    assert!(headers.contains(&("content-encoding".to_owned(), "gzip".to_owned())));
}

#[test]
fn exporters_are_a_list() {
    for (list, sent, warned) in [
        ("otlp,console", true, false),
        (" console , otlp ", true, false),
        ("otlp,zipkin", true, true),
        ("console,zipkin", false, true),
        ("none,otlp", true, true),
        ("none", false, false),
        (",", true, false),
    ] {
        let collector = Collector::start().unwrap();
        let (tracer, lines) = lines_of(|| tracer(&collector, &[("OTEL_TRACES_EXPORTER", list)]));
        drop(span!(tracer: tracer, "a"));
        tracer.flush();
        assert_eq!(collector.requests() == 1, sent, "{list}");
        assert_eq!(lines.len() == 2, warned, "{list}: {lines:#?}");
        let both = list.contains("console") && list.contains("otlp");
        let logged = lines.last().unwrap().contains(" exporter=otlp,console ");
        assert_eq!(logged, both, "{list}: {lines:#?}");
    }
}

#[test]
fn a_timeout_of_zero_is_no_limit() {
    let exports = |variable: &str| {
        let collector = Collector::start().unwrap();
        collector.answer(Answer::AcceptAfter(Duration::from_millis(3200)));
        let (tracer, lines) = lines_of(|| tracer(&collector, &[(variable, "0")]));
        assert_eq!(lines.len(), 1, "{lines:#?}");
        drop(span!(tracer: tracer, "a"));
        let started = Instant::now();
        while tracer.stats().queued > 0 && started.elapsed() < crate::SOON {
            tracer.flush();
        }
        assert_eq!(tracer.stats().exported, 1, "the default would be 3 s");
    };
    std::thread::scope(|scope| {
        scope.spawn(|| exports("OTEL_EXPORTER_OTLP_TIMEOUT"));
        scope.spawn(|| exports("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"));
    });
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
    assert_eq!(collector.snapshot(), "a text=0123 n=1\n");
}

#[test]
fn a_length_limit_counts_characters_and_nothing_is_longer() {
    for (limit, text, expected) in [
        ("10", "ääääääääääää", "ääääääääää"),
        ("10", "ääääääääää", "ääääääääää"),
        ("10", "0123456789a", "0123456789"),
        ("10", "0123456789", "0123456789"),
        ("1", "🦀🦀", "🦀"),
        ("0", "text", ""),
    ] {
        for variable in [
            "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
            "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        ] {
            let collector = Collector::start().unwrap();
            let tracer = tracer(&collector, &[(variable, limit)]);
            span!(tracer: tracer, "a").in_scope(|span| span.set_attribute("text", text));
            tracer.flush();
            assert_eq!(collector.spans()[0].attribute("text"), Some(expected));
        }
    }
    let collector = Collector::start().unwrap();
    let tracer = tracer(&collector, &[("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "4096")]);
    let long = "x".repeat(5000);
    span!(tracer: tracer, "a").in_scope(|span| span.set_attribute("text", long));
    tracer.flush();
    assert_eq!(
        collector.spans()[0].attribute("text").map(str::len),
        Some(4096)
    );
}

#[test]
fn events_links_and_their_attributes_have_limits() {
    use opentelemetry::KeyValue;
    use opentelemetry::trace::{Link, SpanContext, TraceContextExt, Tracer as _};

    let collector = Collector::start().unwrap();
    let tracer = tracer(
        &collector,
        &[
            ("OTEL_SPAN_EVENT_COUNT_LIMIT", "2"),
            ("OTEL_SPAN_LINK_COUNT_LIMIT", "0"),
            ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "1"),
            ("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "1"),
        ],
    );
    let _ = Link::new(SpanContext::NONE, Vec::new(), 0);
    span!(tracer: tracer, "a").in_scope(|_| {
        let context = opentelemetry::Context::current();
        for n in 0..5 {
            let attributes = vec![KeyValue::new("n", n), KeyValue::new("m", n)];
            context.span().add_event("event", attributes.clone());
            let other = opentelemetry_sdk::trace::SdkTracerProvider::default();
            let other = opentelemetry::trace::TracerProvider::tracer(&other, "other");
            let other = opentelemetry::trace::Span::span_context(&other.start("b")).clone();
            context.span().add_link(other, attributes);
        }
    });
    tracer.flush();
    let span = &collector.spans()[0];
    assert_eq!((span.events.len(), span.links.len()), (2, 0));
    assert!(span.events.iter().all(|event| event.attributes.len() == 1));
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
        ("", "0", true, false), // an argument counts only with its sampler
        ("always_on", "0", true, true),
        ("parentbased_always_on", "0", true, false),
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
    crate::flush_all(&tracer);
    assert_eq!(tracer.stats().failures.timeout, 1);
    let failure = tracer.export_health().last_failure.unwrap();
    assert!(
        failure.ends_with("ms"),
        "not the 3 s of the default: {failure}"
    );
}

#[test]
fn values_that_would_break_the_sdk_are_ignored_with_one_warning_each() {
    let collector = Collector::start().unwrap();
    let bad = [
        ("OTEL_BSP_SCHEDULE_DELAY", "0", "1000"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "2048"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "100000", "512"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "soon", "3000"),
        ("OTEL_TRACES_SAMPLER", "coin", "parentbased_always_on"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.5", "1"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "otlp"),
        ("OTEL_SDK_DISABLED", "yes", "false"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "none"),
        ("OTEL_PROPAGATORS", "jaeger", "tracecontext"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "1000000", "4096"),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "-1", "128"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "129", "128"),
        ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "all", "128"),
        ("OPS_TRACE_KEEP", "everything", "none"),
        ("OPS_RESOURCE_DETECTORS", "cloud", "the known detectors"),
        ("OPS_TRACE_FILTER", "a=loud", "info"),
        ("OPS_TRACE_EVENTS", "some", "false"),
        ("OTEL_RESOURCE_ATTRIBUTES", "novalue", "0 of 1 pairs"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2", "0 of 1 pairs"),
        ("OTEL_CONFIG_FILE", "/etc/otel.yaml", "the other variables"),
        ("OTEL_METRICS_EXEMPLAR_FILTER", "always_off", "trace_based"),
    ];
    let variables: Vec<_> = bad.iter().map(|(name, value, _)| (*name, *value)).collect();
    let (tracer, lines) = lines_of(|| tracer(&collector, &variables));
    for (name, _, used) in bad {
        let logged: Vec<_> = lines
            .iter()
            .filter(|line| line.contains(&format!("={name} ")))
            .collect();
        assert_eq!(logged.len(), 1, "{name}: {lines:#?}");
        assert!(logged[0].contains(&format!("used={used}")), "{}", logged[0]);
        assert!(
            logged[0].starts_with("WARN ops_trace variable_not_usable"),
            "{}",
            logged[0]
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
    assert_eq!(tracer.stats().queue_capacity, 2048);
    tracer.flush();
    assert_eq!(tracer.stats().exported, 200, "it works all the same");
}

#[test]
fn an_invalid_ratio_is_ignored_with_a_warning() {
    for argument in ["nan", "5", "-1", "half"] {
        let collector = Collector::start().unwrap();
        let variables = [
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", argument),
        ];
        let (tracer, lines) = lines_of(|| tracer(&collector, &variables));
        assert_eq!((lines.len(), tracer.sampling_ratio()), (2, 1.0));
        assert!(
            lines[0].contains("accepted=a number from 0 to 1"),
            "{lines:#?}"
        );
    }
}

#[test]
fn a_ratio_of_the_program_that_overrides_the_environment_is_logged() {
    for (sampler, argument, logged) in [
        (
            "always_on",
            "",
            &["SAMPLER value=always_on used=traceidratio, 0.25"][..],
        ),
        (
            "parentbased_always_off",
            "",
            &["SAMPLER value=parentbased_always_off used=parentbased_traceidratio, 0.25"],
        ),
        (
            "coin",
            "",
            &["SAMPLER value=coin used=parentbased_traceidratio, 0.25"],
        ),
        ("", "0.5", &["SAMPLER_ARG value=0.5 used=0.25"]),
        (
            "traceidratio",
            "half",
            &["SAMPLER_ARG value=half used=0.25"],
        ),
        ("traceidratio", "0.5", &[]),
        ("", "", &[]),
    ] {
        let config = Config::new("env").sampling_ratio(0.25).environment([
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_TRACES_SAMPLER", sampler),
            ("OTEL_TRACES_SAMPLER_ARG", argument),
        ]);
        let (tracer, lines) = lines_of(|| Tracer::new(config).unwrap());
        assert_eq!(tracer.sampling_ratio(), 0.25);
        let warnings = lines.iter().filter(|line| line.starts_with("WARN"));
        let warnings: Vec<_> = warnings
            .map(|line| {
                let (before, used) = line.split_once("used=").unwrap();
                let (variable, _) = before.split_once(" accepted=").unwrap();
                let (_, variable) = variable.split_once("OTEL_TRACES_").unwrap();
                format!("{variable} used={used}")
            })
            .collect();
        assert_eq!(warnings, logged, "{sampler} {argument}");
    }
    // a value that agrees is not a warning
    let config = Config::new("env").sampling_ratio(1.0).environment([
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_TRACES_SAMPLER", "always_on"),
    ]);
    let (_tracer, lines) = lines_of(|| Tracer::new(config).unwrap());
    assert_eq!(lines.len(), 1, "{lines:#?}");
}

#[test]
fn the_start_is_logged_as_one_line_with_the_endpoint() {
    let collector = Collector::start().unwrap();
    let (_tracer, lines) = lines_of(|| {
        let variables = [
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ];
        tracer(&collector, &variables)
    });
    let url = format!("{}/v1/traces", collector.endpoint());
    assert_eq!(
        lines,
        [format!(
            "INFO ops_trace tracer_initialized service=env exporter=otlp endpoint={url} \
             protocol=http/protobuf sampler=parentbased_traceidratio ratio=0.25"
        )]
    );
    let grpc = Config::new("env").endpoint("http://127.0.0.1:4317");
    let (_tracer, lines) = lines_of(|| Tracer::new(grpc.environment([("", ""); 0])).unwrap());
    assert!(lines[0].contains("4317 is the port for gRPC"), "{lines:#?}");
    assert!(lines[0].contains(" variable=endpoint "), "{lines:#?}");
    for variable in [
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    ] {
        let grpc = Config::new("env").environment([(variable, "http://127.0.0.1:4317")]);
        let (tracer, lines) = lines_of(|| Tracer::new(grpc).unwrap());
        let named = format!(" variable={variable} ");
        assert!(lines[0].contains(&named), "{lines:#?}");
        assert!(tracer.unusable().is_empty(), "it is used");
    }
    let off = Config::new("env").environment([("OTEL_SDK_DISABLED", "true")]);
    let (_tracer, lines) = lines_of(|| Tracer::new(off).unwrap());
    assert_eq!(
        lines,
        ["INFO ops_trace tracer_initialized service=env disabled=true"]
    );
}

#[test]
fn variables_that_the_program_is_above_are_known_with_what_holds() {
    let variables = [
        ("OTEL_TRACES_SAMPLER", "always_off"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "1000"),
        ("OTEL_BSP_SCHEDULE_DELAY", "500"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "700"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:1"),
        ("OPS_TRACE_KEEP", "errors"),
        ("OTEL_PROPAGATORS", "b3"),
    ];
    let config = Config::new("shop").environment(variables);
    assert_eq!(config.overruled(), []);
    let above = config
        .sampling_ratio(0.5)
        .queue_spans(1000)
        .export_delay(Duration::from_secs(2))
        .export_timeout(Duration::from_secs(3))
        .endpoint("http://localhost:2")
        .keep_slow(true);
    let mut overruled = above.overruled();
    overruled.sort_unstable();
    let right = [
        ("OPS_TRACE_KEEP", "errors, slow"),
        ("OTEL_BSP_SCHEDULE_DELAY", "2000"),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "http://localhost:2/v1/traces",
        ),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "3000"),
        ("OTEL_TRACES_SAMPLER", "traceidratio, 0.5"),
    ];
    assert_eq!(overruled, right.map(|(name, used)| (name, used.to_owned())));
    assert_eq!(above.with_env().overruled(), []);
}

#[test]
fn a_ratio_of_the_program_is_above_the_variable_that_would_decide() {
    let (sampler, argument) = ("OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG");
    for (asked, known) in [
        ("always_off", Some((sampler, "traceidratio, 0.3"))),
        (
            "parentbased_always_on",
            Some((sampler, "parentbased_traceidratio, 0.3")),
        ),
        ("traceidratio", Some((argument, "0.3"))),
        ("ParentBased_TraceIdRatio", Some((argument, "0.3"))),
        ("sometimes", None),
        ("", None),
    ] {
        let config = Config::new("shop").environment([(sampler, asked), (argument, "0.5")]);
        let overruled = config.sampling_ratio(0.3).overruled();
        let right = known.map(|(name, used)| (name, used.to_owned()));
        assert_eq!(overruled, Vec::from_iter(right), "{asked}");
    }
}
