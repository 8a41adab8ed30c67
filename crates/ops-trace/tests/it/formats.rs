//! Context in the header formats of `OTEL_PROPAGATORS`.

use std::time::Duration;

use ops_trace::http::{ServerSpans, Trust};
use ops_trace::testing::Collector;
use ops_trace::{Config, Tracer, span};

/// Returns the headers that a service with these propagators sends
/// to another one, and the context that the other one reads.
fn passed_on(
    propagators: &str,
    sampled: f64,
) -> (
    http::HeaderMap,
    ops_trace::SpanIds,
    Vec<ops_trace::testing::ReceivedSpan>,
) {
    let collector = Collector::start().unwrap();
    let config = Config::new("it")
        .endpoint(collector.endpoint())
        .environment([("OTEL_PROPAGATORS", propagators)])
        .propagate_to("orders.internal")
        .baggage_attribute("tenant")
        .sampling_ratio(sampled);
    let tracer = Tracer::new(config).unwrap();
    let mut headers = http::HeaderMap::new();
    let sender = span!(tracer: tracer, "sender");
    let ids = sender.ids().unwrap();
    sender.in_scope(|_| {
        use ops_trace::otel::opentelemetry::{Context, KeyValue, baggage::BaggageExt};
        let context = Context::current_with_baggage([KeyValue::new("tenant", "a b")]);
        let _entered = context.attach();
        assert!(tracer.inject_to("orders.internal", &mut headers));
    });
    let spans = ServerSpans::new()
        .handle(tracer.handle())
        .trust(Trust::Everybody);
    let mut request = http::Request::get("/orders").body(()).unwrap();
    request.headers_mut().extend(headers.clone());
    let (mut parts, ()) = request.into_parts();
    let scope = ops_http::Observe::start(&spans, &mut parts);
    let outcome = ops_http::Outcome::new(
        http::Method::GET,
        None,
        200,
        ops_http::Ending::Complete,
        Duration::ZERO,
    );
    ops_http::Observe::end(&spans, scope, &outcome);
    tracer.flush();
    (headers, ids, collector.spans())
}

#[test]
fn each_format_is_read_as_it_is_written() {
    for (propagators, names) in [
        ("tracecontext", &["traceparent"][..]),
        ("tracecontext,baggage", &["traceparent", "baggage"]),
        ("b3", &["b3"]),
        ("B3Multi", &["x-b3-traceid", "x-b3-spanid", "x-b3-sampled"]),
        ("xray,baggage", &["x-amzn-trace-id", "baggage"]),
        ("tracecontext,b3", &["traceparent", "b3"]),
    ] {
        let (headers, ids, spans) = passed_on(propagators, 1.0);
        let mut found: Vec<&str> = headers.keys().map(|name| name.as_str()).collect();
        let mut expected = names.to_vec();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{propagators}");
        let served = spans.iter().find(|span| span.kind == "server").unwrap();
        assert_eq!(served.parent_span_id, hex(&ids.span_id), "{propagators}");
        assert_eq!(served.trace_id, hex(&ids.trace_id), "{propagators}");
        let tenant = served.attribute("tenant");
        let carried = names.contains(&"baggage").then_some("a b");
        assert_eq!(tenant, carried, "{propagators}");
        // the sampling decision is propagated too
        let (_, _, spans) = passed_on(propagators, 0.0);
        assert_eq!(spans.len(), 0, "{propagators}");
    }
    let (headers, _, _) = passed_on("baggage", 1.0);
    assert_eq!(headers.get("baggage").unwrap(), "tenant=a%20b");
    assert_eq!(headers.len(), 1);
}

/// Returns the parent that a server reads from these headers, as trace and span id.
fn parent_of(propagators: &str, headers: &[(&str, &str)]) -> Option<(String, String)> {
    let collector = Collector::start().unwrap();
    let config = Config::new("it")
        .endpoint(collector.endpoint())
        .environment([("OTEL_PROPAGATORS", propagators)]);
    let tracer = Tracer::new(config).unwrap();
    let spans = ServerSpans::new()
        .handle(tracer.handle())
        .trust(Trust::Everybody);
    let mut request = http::Request::get("/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    drop(ops_http::Observe::start(&spans, &mut parts));
    tracer.flush();
    let span = collector.spans().into_iter().next()?;
    (!span.parent_span_id.is_empty()).then_some((span.trace_id, span.parent_span_id))
}

#[test]
fn headers_of_other_systems_are_read_strictly() {
    let (trace, short, span) = (
        "80f198ee56343ba864fe8b2a57d3eff7",
        "64fe8b2a57d3eff7",
        "e457b5a2e4d86bd1",
    );
    let whole = Some((trace.to_owned(), span.to_owned()));
    let filled = Some((format!("{:0>32}", short), span.to_owned()));
    let b3 = |value: &str| parent_of("b3", &[("b3", value)]);
    assert_eq!(b3(&format!("{trace}-{span}-1-05e3ac9a4f6e3b90")), whole);
    assert_eq!(b3(&format!("{trace}-{span}-d")), whole);
    assert_eq!(b3(&format!("{short}-{span}-1")), filled);
    for bad in [
        "0",
        "",
        &format!("{trace}-{span}x-1"),
        &format!("{}-{span}-1", trace.to_uppercase()),
        &format!("{}-{span}-1", "0".repeat(32)),
        &format!("{trace}-{}-1", "0".repeat(16)),
        &format!("{trace}{trace}-{span}-1"),
    ] {
        assert_eq!(b3(bad), None, "{bad}");
    }
    let multi = |sampled: &[(&str, &str)]| {
        let mut headers = vec![("X-B3-TraceId", trace), ("X-B3-SpanId", span)];
        headers.extend(sampled);
        parent_of("b3multi", &headers)
    };
    for sampled in [
        ("X-B3-Sampled", "1"),
        ("X-B3-Sampled", "true"),
        ("X-B3-Flags", "1"),
    ] {
        assert_eq!(multi(&[sampled]), whole, "{sampled:?}");
    }
    // both forms are read, whichever is written, the single header first
    let parts = [
        ("X-B3-TraceId", trace),
        ("X-B3-SpanId", span),
        ("X-B3-Sampled", "1"),
    ];
    assert_eq!(parent_of("b3", &parts), whole);
    let single = format!("{}-{span}-1", trace.replace('8', "1"));
    let both = [&parts[..], &[("b3", &single)]].concat();
    for form in ["b3", "b3multi"] {
        let parent = parent_of(form, &both).unwrap();
        assert_eq!(parent.0, trace.replace('8', "1"), "{form}");
    }
    // not sampled, and therefore not exported
    assert_eq!(multi(&[("X-B3-Sampled", "0")]), None);
    let xray = |value: &str| parent_of("xray", &[("X-Amzn-Trace-Id", value)]);
    let root = format!("Root=1-{}-{}", &trace[..8], &trace[8..]);
    assert_eq!(xray(&format!("{root};Parent={span};Sampled=1")), whole);
    assert_eq!(
        xray(&format!("Self=1-2; Sampled=1;Parent={span}; {root}")),
        whole
    );
    assert_eq!(xray(&format!("{root};Parent={span};Sampled=1;")), whole);
    for bad in [root.as_str(), "Root=1-2-3;Parent=4;Sampled=1", "x", ";;"] {
        assert_eq!(xray(bad), None, "{bad}");
    }
    // formats that are not chosen are ignored
    assert_eq!(
        parent_of("tracecontext", &[("b3", &format!("{trace}-{span}-1"))]),
        None
    );
    // and W3C wins
    let other = format!("00-{}-{span}-01", trace.replace('8', "1"));
    let both = parent_of(
        "tracecontext,b3",
        &[
            ("b3", &format!("{trace}-{span}-1")),
            ("traceparent", &other),
        ],
    );
    assert_eq!(both.unwrap().0, trace.replace('8', "1"));
}

#[test]
fn what_another_parent_left_in_headers_that_are_passed_on_is_not_sent_with_ours() {
    let multi = ["x-b3-sampled", "x-b3-spanid", "x-b3-traceid"];
    for (propagators, of_b3) in [
        ("tracecontext,b3multi", &multi[..]),
        ("tracecontext,b3", &["b3"]),
        (
            "b3multi,b3,tracecontext",
            &["b3", multi[0], multi[1], multi[2]],
        ),
    ] {
        let config = Config::new("it").environment([
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_PROPAGATORS", propagators),
        ]);
        let tracer = Tracer::new(config.propagate_to("peer")).unwrap();
        let mut headers = http::HeaderMap::new();
        for (name, value) in [
            ("traceparent", "00-malformed"),
            ("tracestate", "vendor=of-a-stranger"),
            ("b3", "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1"),
            ("x-b3-traceid", "80f198ee56343ba864fe8b2a57d3eff7"),
            ("x-b3-spanid", "e457b5a2e4d86bd1"),
            ("x-b3-flags", "1"),
            ("x-b3-parentspanid", "05e3ac9a4f6e3b90"),
            ("x-other", "stays"),
        ] {
            headers.insert(name, http::HeaderValue::from_static(value));
        }
        let span = span!(tracer: tracer, "call");
        let trace_id = hex(&span.ids().unwrap().trace_id);
        span.in_scope(|_| assert!(tracer.inject_to("peer", &mut headers)));
        let mut names: Vec<_> = headers.keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        let sent = [of_b3, &["traceparent", "x-other"]].concat();
        let mut sent: Vec<&str> = sent;
        sent.sort_unstable();
        assert_eq!(names, sent, "{propagators}");
        for name in names {
            let value = headers[name].to_str().unwrap();
            assert!(
                !value.contains("80f198ee56343ba864fe8b2a57d3eff7"),
                "{name}"
            );
        }
        let parent = headers["traceparent"].to_str().unwrap();
        assert!(parent.contains(&trace_id), "{parent}");
    }
}

#[test]
fn baggage_of_another_context_in_headers_that_are_passed_on_is_not_sent_with_ours() {
    let tracer = |propagators| {
        let config = Config::new("it").environment([
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_PROPAGATORS", propagators),
        ]);
        Tracer::new(config.propagate_to("peer")).unwrap()
    };
    let passed_on = |tracer: &Tracer| {
        let mut headers = http::HeaderMap::new();
        headers.insert("baggage", "tenant=of-a-stranger".parse().unwrap());
        headers.append("baggage", "role=admin".parse().unwrap());
        span!(tracer: tracer, "call").in_scope(|_| assert!(tracer.inject_to("peer", &mut headers)));
        headers.get_all("baggage").iter().count()
    };
    assert_eq!(passed_on(&tracer("tracecontext,baggage")), 0);
    // a header of a format that is not chosen is not touched
    assert_eq!(passed_on(&tracer("tracecontext")), 2);
    // nor is any header if there is no current span
    let mut headers = http::HeaderMap::new();
    headers.insert("baggage", "tenant=set-by-hand".parse().unwrap());
    assert!(tracer("tracecontext,baggage").inject_to("peer", &mut headers));
    assert_eq!(headers.len(), 1);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn baggage_beyond_its_limits_or_of_a_peer_that_is_not_trusted_is_left_out() {
    let tenant_of = |trust: Trust, baggage: &str| {
        let collector = Collector::start().unwrap();
        let config = Config::new("it")
            .endpoint(collector.endpoint())
            .environment([("OTEL_PROPAGATORS", "baggage")])
            .baggage_attribute("tenant");
        let tracer = Tracer::new(config).unwrap();
        let spans = ServerSpans::new().handle(tracer.handle()).trust(trust);
        let request = http::Request::get("/").header("baggage", baggage);
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        drop(ops_http::Observe::start(&spans, &mut parts));
        tracer.flush();
        let spans = collector.spans();
        spans[0].attribute("tenant").map(str::to_owned)
    };
    let acme = Some("acme".to_owned());
    assert_eq!(tenant_of(Trust::Everybody, "a=b,tenant=acme;p=1"), acme);
    assert_eq!(tenant_of(Trust::Nobody, "tenant=acme"), None);
    let long = format!("tenant=acme,long={}", "x".repeat(8192));
    assert_eq!(tenant_of(Trust::Everybody, &long), None);
    let many: Vec<String> = (0..64).map(|n| format!("k{n}=v")).collect();
    let many = format!("{},tenant=acme", many.join(","));
    assert_eq!(tenant_of(Trust::Everybody, &many), None);
}

#[test]
fn baggage_does_not_override_client_attributes_of_the_observer() {
    for (observed, right) in [(true, "192.0.2.1"), (false, "203.0.113.9")] {
        let collector = Collector::start().unwrap();
        let config = Config::new("it")
            .endpoint(collector.endpoint())
            .environment([("OTEL_PROPAGATORS", "baggage")])
            .baggage_attribute("client.address");
        let tracer = Tracer::new(config).unwrap();
        let spans = ServerSpans::new().handle(tracer.handle());
        let spans = spans.trust(Trust::Everybody).client_attributes(observed);
        let spans = spans.peer(|_| "192.0.2.1".parse().ok());
        let request = http::Request::get("/").header("baggage", "client.address=203.0.113.9");
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        drop(ops_http::Observe::start(&spans, &mut parts));
        tracer.flush();
        let span = &collector.spans()[0];
        assert_eq!(span.attribute("client.address"), Some(right));
    }
}

/// Returns the headers that a service sends after receiving these.
fn sent_on(propagators: &str, headers: &[(&str, &str)]) -> http::HeaderMap {
    let config = Config::new("it")
        .environment([
            ("OTEL_PROPAGATORS", propagators),
            ("OTEL_TRACES_EXPORTER", "none"),
        ])
        .propagate_to("next");
    let tracer = Tracer::new(config).unwrap();
    let spans = ServerSpans::new()
        .handle(tracer.handle())
        .trust(Trust::Everybody);
    let mut request = http::Request::get("/");
    for (name, value) in headers {
        request = request.header(*name, value.as_bytes());
    }
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    let mut scope = ops_http::Observe::start(&spans, &mut parts);
    let mut sent = http::HeaderMap::new();
    let entered = ops_http::Observe::enter(&spans, &mut scope);
    span!(tracer: tracer, "call").in_scope(|_| assert!(tracer.inject_to("next", &mut sent)));
    drop(entered);
    sent
}

#[test]
fn the_flag_debug_of_b3_goes_on_with_its_trace() {
    let (trace, span) = ("80f198ee56343ba864fe8b2a57d3eff7", "e457b5a2e4d86bd1");
    let single = |state: &str| format!("{trace}-{span}-{state}");
    let multi = |name, value| {
        [
            ("x-b3-traceid", trace),
            ("x-b3-spanid", span),
            (name, value),
        ]
    };
    for (headers, state, name, value) in [
        (&[("b3", &*single("d"))][..], "-d", "x-b3-flags", "1"),
        (&multi("x-b3-flags", "1"), "-d", "x-b3-flags", "1"),
        (&[("b3", &*single("1"))], "-1", "x-b3-sampled", "1"),
        (&multi("x-b3-sampled", "1"), "-1", "x-b3-sampled", "1"),
        (&multi("x-b3-sampled", "0"), "-0", "x-b3-sampled", "0"),
    ] {
        let sent = sent_on("b3,b3multi", headers);
        let text = |name: &str| sent.get(name).map(|value| value.to_str().unwrap());
        assert!(text("b3").unwrap().starts_with(trace), "{sent:?}");
        assert!(text("b3").unwrap().ends_with(state), "{sent:?}");
        assert_eq!(text(name), Some(value), "{sent:?}");
        // the flag implies the decision
        assert_eq!(sent.len(), 4, "{sent:?}");
    }
    // `traceparent` names another trace, for which debug was not requested
    let parent = format!("00-{}-{span}-01", trace.replace('8', "1"));
    let both = [("b3", &*single("d")), ("traceparent", &*parent)];
    let sent = sent_on("tracecontext,b3", &both);
    assert!(sent["b3"].to_str().unwrap().ends_with("-1"), "{sent:?}");
}

/// Returns the baggage that a service sends after receiving these headers.
fn baggage_through(headers: &[&str]) -> String {
    let headers: Vec<_> = headers.iter().map(|value| ("baggage", *value)).collect();
    let sent = sent_on("baggage", &headers);
    let value = sent.get("baggage");
    value.map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
}

#[test]
fn baggage_goes_on_as_it_came() {
    for (headers, expected) in [
        (&["a=1"][..], "a=1"),
        (&["a=%2520"], "a=%2520"),
        (&["a=b=c=="], "a=b%3Dc%3D%3D"),
        (&["a=%20x%20"], "a=%20x%20"),
        (&["a = x ; p=1;q "], "a=x;p=1;q"),
        (&["a=x;p = 1 ;\tq; r =\ts=%20 "], "a=x;p=1;q;r=s=%20"),
        (&["a=%5C%22"], "a=%5C%22"),
        (&["a=%FF"], "a=%EF%BF%BD"),
        (&["a="], "a="),
        (&["=x, ,nothing,;,b=2"], "b=2"),
        (&["a=1;p=%2C"], "a=1;p=%2C"),
        (&["%C3%A4=1"], "%C3%A4=1"),
        (&["ä=1,b=2"], "b=2"),
        (&["user=Müller"], "user=M%C3%BCller"),
        (&[""], ""),
    ] {
        assert_eq!(baggage_through(headers), expected, "{headers:?}");
    }
    let mut two: Vec<_> = baggage_through(&["a=1", "b=2"])
        .split(',')
        .map(str::to_owned)
        .collect();
    two.sort_unstable();
    assert_eq!(two, ["a=1", "b=2"]);
    let long = format!("a={}", "x".repeat(8190));
    assert_eq!(baggage_through(&[&long]).len(), 8192);
    assert_eq!(baggage_through(&[&format!("{long}x")]), "");
    // if values grow when they are encoded, whole members are dropped
    let grows = format!("a={},b=1", "=".repeat(4000));
    assert_eq!(baggage_through(&[&grows]), "b=1");
    let many: Vec<String> = (0..100).map(|n| format!("k{n}=1")).collect();
    let kept = baggage_through(&[&many.join(",")]);
    assert_eq!(kept.split(',').count(), 64);
}
