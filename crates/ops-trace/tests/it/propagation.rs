//! W3C trace context, through a served application, and in outgoing requests.

use axum::http::{HeaderMap, HeaderValue};
use ops_trace::http::{ServerSpans, Trust};
use ops_trace::{Config, Handle, Tracer, span};

use crate::lines::lines_of;
use crate::served::{Served, app, body, header, spans};
use crate::traced;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Returns `traceparent` values, each with true if the trace is continued.
fn table() -> Vec<(String, bool)> {
    let with = |from: &str, to: &str| VALID.replacen(from, to, 1);
    let later = with("00-", "cc-");
    [
        (VALID.to_owned(), true),
        (with("-01", "-00"), true),
        (with("-01", "-03"), true),
        (with("-01", "-ff"), true), // flags that are not known yet are ignored
        (format!("  {VALID}  "), true), // optional white space is not part of a header's value
        // future versions are read as far as they are known
        (later.clone(), true),
        (with("00-", "01-"), true),
        (with("00-", "fe-"), true),
        (format!("{later}-what-the-future-brings"), true),
        (format!("{later}-"), true),
        (format!("{later}.what"), false),
        (format!("{later}0"), false),
        // version 00 is not read beyond its end
        (format!("{VALID}-"), false),
        (format!("{VALID}-01"), false),
        (format!("{VALID}0"), false),
        (with("00-", "ff-"), false),
        (with("00-", "0-"), false),
        (with("00-", "f-"), false),
        (with("00-", "+0-"), false),
        (with("00-", "000-"), false),
        (with("00-", "0G-"), false),
        // lower case only
        (VALID.to_uppercase(), false),
        (with("4bf92f", "4BF92F"), false),
        (with("00f067", "00F067"), false),
        (with("-01", "-0A"), false),
        // ids of all zeros
        (with(TRACE, &"0".repeat(32)), false),
        (with(SPAN, &"0".repeat(16)), false),
        // another length, other characters, other separators
        (with(TRACE, &TRACE[1..]), false),
        (with(TRACE, &format!("{TRACE}0")), false),
        (with(SPAN, &SPAN[1..]), false),
        (with("4bf9", "+bf9"), false),
        (with("00f0", " 0f0"), false),
        (with("4bf9", "xyz9"), false),
        (with("-01", "-0+"), false),
        (with("-01", "-1"), false),
        (with("-01", ""), false),
        (VALID.replace('-', "_"), false),
        (VALID.replacen('-', "", 1), false),
        ("00-42-1-01".to_owned(), false),
        ("-".to_owned(), false),
        ("00".to_owned(), false),
        (String::new(), false),
        (format!("{VALID},{VALID}"), false),
        ("0".repeat(8000), false),
    ]
    .into()
}

#[tokio::test]
async fn a_traceparent_goes_on_exactly_where_w3c_says_that_it_is_valid() {
    let (_collector, tracer) = traced();
    let served = Served::start(app(spans(tracer.handle()))).await;
    for (value, goes_on) in table() {
        let answer = served.send("GET /ids", &[("traceparent", &value)]).await;
        let id = body(&answer);
        assert_eq!(id.len(), 32, "{value:?}: there is always a trace");
        assert_eq!(id == TRACE, goes_on, "{value:?}");
        let sampled = !value.contains("b7-00");
        let random = goes_on && (value.contains("b7-03") || value.contains("b7-ff"));
        let flags = match (goes_on && !sampled, random) {
            (true, _) => "00",
            (false, true) => "03",
            (false, false) => "01",
        };
        let response = header(&answer, "traceresponse").unwrap();
        assert!(response.starts_with(&format!("00-{id}-")), "{response}");
        assert!(response.ends_with(flags), "{value:?}: {response}");
        assert!(!response.contains(SPAN), "the span is a new one");
    }
}

#[tokio::test]
async fn several_traceparents_are_none_whatever_their_case_and_order() {
    let (_collector, tracer) = traced();
    let served = Served::start(app(spans(tracer.handle()))).await;
    let other = VALID.replacen('4', "5", 1);
    for headers in [
        [("traceparent", VALID), ("traceparent", VALID)],
        [("traceparent", VALID), ("Traceparent", &other)],
        [("TRACEPARENT", ""), ("traceparent", VALID)],
    ] {
        let answer = served.send("GET /ids", &headers).await;
        assert_ne!(body(&answer), TRACE, "{headers:?}");
    }
    let answer = served.send("GET /ids", &[("TraceParent", VALID)]).await;
    assert_eq!(body(&answer), TRACE, "names of headers have no case");
}

#[tokio::test]
async fn tracestate_is_taken_up_to_512_bytes_and_32_members_and_the_trace_goes_on_without() {
    let (collector, tracer) = traced();
    let served = Served::start(app(spans(tracer.handle()))).await;
    let members = |n: usize| {
        let members: Vec<String> = (0..n).map(|n| format!("k{n}=v")).collect();
        members.join(",")
    };
    let long = |bytes: usize| format!("a={}", "x".repeat(bytes - 2));
    let (two, three) = ("vendor=a,other=b", "vendor=a,other=b,third=c");
    for (states, expected) in [
        (vec![two.to_owned()], two.to_owned()),
        (vec![two.to_owned(), "third=c".to_owned()], three.to_owned()),
        (vec!["vendor=a , other=b".to_owned()], two.to_owned()),
        (vec!["vendor=a,,other=b,".to_owned()], two.to_owned()),
        (vec![members(32)], members(32)),
        (vec![members(33)], String::new()),
        (vec![members(20), members(13)], String::new()),
        (vec![long(256)], long(256)),
        (
            vec![format!("{},b={}", long(256), "y".repeat(254))],
            String::new(),
        ),
        (vec![long(600)], String::new()),
        (vec!["no member".to_owned()], String::new()),
        (vec![String::new()], String::new()),
    ] {
        let mut headers = vec![("traceparent", VALID)];
        headers.extend(states.iter().map(|state| ("tracestate", state.as_str())));
        let before = collector.spans().len();
        let answer = served.send("GET /ids", &headers).await;
        assert_eq!(body(&answer), TRACE, "{states:?}");
        tracer.flush();
        assert_eq!(
            collector.spans()[before].trace_state,
            expected,
            "{states:?}"
        );
    }
    served.send("GET /ids", &[("tracestate", two)]).await;
    tracer.flush();
    let last = collector.spans().pop().unwrap();
    assert_eq!(last.trace_state, "", "without a parent there is no state");
}

#[tokio::test]
async fn parents_of_peers_that_are_not_trusted_become_links_of_a_new_trace() {
    fn elsewhere(_: &axum::http::Extensions) -> Option<std::net::IpAddr> {
        Some("203.0.113.9".parse().unwrap())
    }
    fn inside(_: &axum::http::Extensions) -> Option<std::net::IpAddr> {
        Some("::ffff:10.1.2.3".parse().unwrap())
    }
    let network = |spans: ServerSpans, network: &str| spans.trust_network(network).unwrap();
    type Change = Box<dyn Fn(ServerSpans) -> ServerSpans>;
    let table: Vec<(Change, bool)> = vec![
        (Box::new(|spans| spans), true), // loopback
        (Box::new(|spans| spans.peer(|_| None)), false),
        (Box::new(|spans| spans.peer(elsewhere)), false),
        (Box::new(|spans| spans.peer(inside)), true),
        (Box::new(|spans| spans.trust(Trust::Nobody)), false),
        (
            Box::new(|spans| spans.trust(Trust::Everybody).peer(elsewhere)),
            true,
        ),
        (
            Box::new(move |spans| network(spans, "10.0.0.0/8").peer(inside)),
            true,
        ),
        (
            Box::new(move |spans| network(spans, "10.1.2.3").peer(inside)),
            true,
        ),
        (
            Box::new(move |spans| network(spans, "10.2.0.0/16").peer(inside)),
            false,
        ),
        (
            Box::new(move |spans| network(spans, "fd00::/8").peer(inside)),
            false,
        ),
        (
            Box::new(move |spans| network(spans, "0.0.0.0/0").peer(elsewhere)),
            true,
        ),
        (Box::new(move |spans| network(spans, "10.0.0.0/8")), false), // loopback is not in it
    ];
    for (at, (change, trusted)) in table.into_iter().enumerate() {
        let (collector, tracer) = traced();
        let served = Served::start(app(change(spans(tracer.handle())))).await;
        let unsampled = VALID.replace("-01", "-00");
        let answer = served.send("GET /ids", &[("traceparent", VALID)]).await;
        served
            .send("GET /users/1", &[("traceparent", &unsampled)])
            .await;
        tracer.flush();
        assert_eq!(body(&answer) == TRACE, trusted, "{at}");
        let spans = collector.spans();
        let span = spans.iter().find(|span| span.name == "GET /ids").unwrap();
        if trusted {
            assert_eq!(span.parent_span_id, SPAN, "{at}");
            assert!(span.links.is_empty());
            assert_eq!(
                spans.len(),
                1,
                "the peer decided that its trace is not sampled"
            );
        } else {
            assert_eq!(span.parent_span_id, "", "{at}");
            let link = &span.links[0];
            assert_eq!(
                (link.trace_id.as_str(), link.span_id.as_str()),
                (TRACE, SPAN)
            );
            assert_eq!(spans.len(), 2, "a stranger does not decide what is sampled");
        }
    }
    for bad in [
        "10.0.0.0/33",
        "10.0.0/8",
        "example.com",
        "",
        "::/129",
        "10.0.0.0/x",
    ] {
        let error = ServerSpans::new()
            .trust_network(bad)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&format!("`{bad}`")) && error.contains("10.0.0.0/8"),
            "{error}"
        );
    }
}

#[test]
fn a_traceparent_of_an_unknown_peer_is_logged_once_with_its_cure() {
    use ops_http::Observe;

    let (_collector, tracer) = traced();
    let request = |observer: &ServerSpans, traceparent: Option<&str>| {
        let mut request = axum::http::Request::new(()).into_parts().0;
        if let Some(value) = traceparent {
            let value = HeaderValue::from_str(value).unwrap();
            request.headers.insert("traceparent", value);
        }
        drop(observer.start(&mut request));
    };
    let observer = || ServerSpans::new().handle(tracer.handle());
    let known = |_: &axum::http::Extensions| Some("203.0.113.9".parse().unwrap());
    for (observer, traceparent, warnings) in [
        (observer(), Some(VALID), 1),
        (
            observer().trust_network("10.0.0.0/8").unwrap(),
            Some(VALID),
            1,
        ),
        (observer(), None, 0),
        (observer(), Some("00-junk"), 0),
        (observer().peer(known), Some(VALID), 0),
        (observer().trust(Trust::Everybody), Some(VALID), 0),
        (observer().trust(Trust::Nobody), Some(VALID), 0),
    ] {
        let clone = observer.clone();
        let ((), lines) = crate::lines::lines_of(|| {
            for _ in 0..3 {
                request(&observer, traceparent);
                request(&clone, traceparent);
            }
        });
        assert_eq!(lines.len(), warnings, "{lines:#?}");
        if warnings > 0 {
            assert!(lines[0].starts_with("WARN ops_trace trace_context_from_unknown_peer cure="));
            assert!(
                lines[0].contains("into_make_service_with_connect_info"),
                "{lines:#?}"
            );
            assert!(lines[0].contains("ServerSpans::trust"), "{lines:#?}");
        }
    }
}

#[tokio::test]
async fn propagation_can_be_turned_off_and_works_with_the_sdk_turned_off() {
    let tracer = |variables| Tracer::new(Config::new("it").environment(variables)).unwrap();
    let off = tracer([
        ("OTEL_PROPAGATORS", "none"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ]);
    let served = Served::start(app(spans(off.handle()))).await;
    let answer = served.send("GET /ids", &[("traceparent", VALID)]).await;
    assert_ne!(body(&answer), TRACE);
    let disabled = tracer([
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ]);
    let served = Served::start(app(spans(disabled.handle()))).await;
    let answer = served.send("GET /ids", &[("traceparent", VALID)]).await;
    assert_eq!(body(&answer), TRACE, "the log still has the trace id");
    assert_eq!(header(&answer, "traceresponse"), None);
    let answer = served.send("GET /ids", &[]).await;
    assert_eq!(body(&answer), "no-trace");
}

fn injected(handle: &Handle, host: &str) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    let logged = handle.inject_to(host, &mut headers);
    assert_eq!(logged, headers.contains_key("traceparent"));
    logged.then_some(headers)
}

#[test]
fn outgoing_calls_carry_the_context_to_listed_hosts_only() {
    let (_collector, tracer) = {
        let collector = ops_trace::testing::Collector::start().unwrap();
        let config = crate::config(&collector.endpoint());
        let config = config
            .propagate_to("api.internal")
            .propagate_to("*.example.com");
        (collector, Tracer::new(config).unwrap())
    };
    let mut nowhere = HeaderMap::new();
    ops_trace::inject(&mut nowhere);
    assert!(nowhere.is_empty());
    span!(tracer: tracer, "call").in_scope(|_| {
        for host in [
            "api.internal",
            "API.internal",
            "api.internal:8080",
            "a.example.com",
            "a.b.example.com",
        ] {
            assert!(injected(&tracer, host).is_some(), "{host}");
        }
        for host in [
            "example.com",
            "api.internal.evil.net",
            "notexample.com",
            "evil.net",
            "",
            "é.example.co",
        ] {
            assert!(injected(&tracer, host).is_none(), "{host}");
        }
        let headers = injected(&tracer, "api.internal").unwrap();
        let id = ops_trace::get_current_trace_id();
        let span_id = ops_trace::current_span_ids().unwrap().span_id;
        let expected = format!("00-{id}-{:016x}-01", u64::from_be_bytes(span_id));
        assert_eq!(
            headers["traceparent"],
            HeaderValue::from_str(&expected).unwrap()
        );
    });
}

#[test]
fn a_listed_host_may_have_a_port_and_brackets_and_what_is_no_host_is_reported() {
    let listed = [
        "api.internal:8080",
        " Orders.Internal. ",
        "[2001:db8::1]:9000",
        "2001:db8::2",
        "[2001:DB8:0:0::04]:80",
        "10.0.0.7:80",
        "*.shop.example:443",
    ];
    let refused = [
        "http://url.internal",
        "*",
        "*.",
        "",
        "path.internal/v1",
        "user@name.internal",
        "m\u{fc}nchen.example",
    ];
    let config = Config::new("it").environment([("OTEL_TRACES_EXPORTER", "none")]);
    let config = listed
        .iter()
        .chain(&refused)
        .fold(config, |config, host| config.propagate_to(*host));
    let (tracer, lines) = lines_of(|| Tracer::new(config).unwrap());
    let warnings: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("variable_not_usable variable=propagate_to"))
        .collect();
    assert_eq!(warnings.len(), refused.len(), "{lines:#?}");
    for (host, warning) in refused.iter().zip(&warnings) {
        assert!(warning.contains(&format!("value={host} ")), "{warning}");
    }
    span!(tracer: tracer, "call").in_scope(|_| {
        for host in [
            "api.internal",
            "api.internal:9090",
            "orders.internal",
            "orders.internal.",
            "[2001:db8::1]",
            "[2001:db8::2]:443",
            "2001:db8::2",
            "[2001:0DB8::0:2]",
            "2001:db8::4",
            "[2001:db8:0:0:0:0:0:4]:443",
            "10.0.0.7",
            "eu.shop.example",
        ] {
            assert!(injected(&tracer, host).is_some(), "{host}");
        }
        for host in [
            "url.internal",
            "http",
            "2001:db8::3",
            "shop.example",
            "internal",
        ] {
            assert!(injected(&tracer, host).is_none(), "{host}");
        }
    });
}

#[tokio::test]
async fn incoming_context_is_propagated_with_its_state() {
    let (_collector, tracer) = traced();
    let router = axum::Router::new().route(
        "/",
        axum::routing::get(|| async {
            let mut headers = HeaderMap::new();
            ops_trace::inject(&mut headers);
            format!("{headers:?}")
        }),
    );
    let router = ops_trace::axum::instrument_axum_with(router, spans(tracer.handle()));
    let served = Served::start(router).await;
    let headers = [("traceparent", VALID), ("tracestate", "vendor=a")];
    let answer = served.send("GET /", &headers).await;
    assert!(answer.contains(&format!("00-{TRACE}-")), "{answer}");
    assert!(answer.contains("\"tracestate\": \"vendor=a\""), "{answer}");
    assert!(!body(&answer).contains(SPAN), "the parent is the span here");
}

proptest::proptest! {
    #[test]
    fn no_header_whatever_makes_it_panic_or_go_on_with_an_invalid_id(
        values in proptest::collection::vec("[ -~]{0,80}", 0..3),
        states in proptest::collection::vec("[ -~]{0,600}", 0..3),
    ) {
        use ops_http::Observe;
        let observer = spans(quiet_handle());
        let (mut parts, ()) = axum::http::Request::new(()).into_parts();
        for value in values {
            parts.headers.append("traceparent", HeaderValue::from_str(&value).unwrap());
        }
        for state in states {
            parts.headers.append("tracestate", HeaderValue::from_str(&state).unwrap());
        }
        let mut scope = observer.start(&mut parts);
        let _entered = observer.enter(&mut scope);
        let ids = ops_trace::current_span_ids().unwrap();
        let (trace_id, span_id) = (ids.trace_id, ids.span_id);
        proptest::prop_assert!(trace_id != [0; 16] && span_id != [0; 8]);
    }
}

fn quiet_handle() -> Handle {
    static TRACER: std::sync::OnceLock<Tracer> = std::sync::OnceLock::new();
    let tracer = TRACER.get_or_init(|| {
        let config = Config::new("it").environment([("OTEL_TRACES_EXPORTER", "none")]);
        Tracer::new(config).unwrap()
    });
    tracer.handle()
}
