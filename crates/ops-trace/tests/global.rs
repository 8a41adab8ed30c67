//! State that exists once per process: a single test, because its steps depend on their order.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Span as _, TraceContextExt, Tracer as _};
use ops_trace::testing::Collector;
use ops_trace::{Config, Error, span};

const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn one_tracer_is_installed_and_everything_that_is_global_uses_it() {
    nothing_happens_before_init();
    let collector = Collector::start().unwrap();
    let config = Config::new("it").endpoint(collector.endpoint());
    let config = config
        .propagate_to("api.internal")
        .environment([("", ""); 0]);
    let tracer = ops_trace::init(config).unwrap();
    let again = ops_trace::init_tracer("other", "http://localhost:1");
    assert!(matches!(again, Err(Error::AlreadyInitialized)));

    the_free_functions_make_spans().await;
    libraries_that_use_opentelemetry_take_part();
    tracer.flush();
    assert_eq!(
        collector.snapshot(),
        "a n=1\n  b ERROR m=2 error.type=odd\n  c k=v\n\
         GET / (server) http.request.method=GET url.path=/ url.scheme=http \
         network.protocol.version=1.1 http.route=/ http.response.status_code=200\n  handler\n\
         mine\n  library\nout\n"
    );
    assert_eq!(ops_trace::last_export_ok(), Some(true));
    assert_eq!(ops_trace::recent().recent.len(), 4);
    ops_trace::set_sampling_ratio(0.0, Duration::from_secs(60)).unwrap();
    assert!(!span!("not sampled").is_recording());

    let stats = tracer.shutdown(Duration::from_secs(3)).await;
    assert_eq!((stats.exported, stats.ended_sampled), (8, 8));
    assert_eq!(ops_trace::stats(), stats);
}

fn nothing_happens_before_init() {
    let id = span!("a", n = 1).in_scope(|span| {
        span.set_attribute("k", "v");
        span.set_error("odd");
        ops_trace::get_current_trace_id()
    });
    assert_eq!(id, "no-trace");
    drop(ops_trace::create_span("b", []));
    ops_trace::completed_span("c", SystemTime::now(), Duration::ZERO).record();
    assert_eq!(ops_trace::stats().ended_sampled, 0);
    assert_eq!(ops_trace::last_export_ok(), None);
    assert!(ops_trace::recent().recent.is_empty());
    assert!(ops_trace::set_sampling_ratio(2.0, Duration::ZERO).is_err());
    assert!(!ops_trace::inject_to(
        "api.internal",
        &mut axum::http::HeaderMap::new()
    ));
}

async fn the_free_functions_make_spans() {
    span!("a", n = 1).in_scope(|_| {
        ops_trace::create_span("b", [("m", 2.into())]).in_scope(|b| b.set_error("odd"));
        ops_trace::completed_span("c", SystemTime::now(), Duration::from_millis(1))
            .attribute("k", "v")
            .record();
        let mut headers = axum::http::HeaderMap::new();
        assert!(ops_trace::inject_to("api.internal", &mut headers));
        assert!(!ops_trace::inject_to("elsewhere.example", &mut headers));
    });
    let handler = || async { span!("handler").in_scope(|_| "answer") };
    let router = axum::Router::new().route("/", axum::routing::get(handler));
    let router = ops_trace::instrument_axum(router);
    let request = axum::http::Request::new(axum::body::Body::empty());
    let answer = tower::ServiceExt::oneshot(router, request).await.unwrap();
    assert!(answer.headers().contains_key("traceresponse"));
    let body = http_body_util::BodyExt::collect(answer.into_body()).await;
    assert_eq!(body.unwrap().to_bytes(), "answer");
}

fn libraries_that_use_opentelemetry_take_part() {
    span!("mine").in_scope(|_| {
        let mut span = opentelemetry::global::tracer("library").start("library");
        span.end();
    });
    opentelemetry::global::get_text_map_propagator(|propagator| {
        let extract = |value: &str| {
            let headers = HashMap::from([("traceparent".to_owned(), value.to_owned())]);
            let context = propagator.extract(&headers);
            context.span().span_context().is_valid()
        };
        assert!(extract(VALID));
        // the SDK's own propagator accepts these
        assert!(!extract("00-42-1-01") && !extract(&VALID.to_uppercase()));
        let tenant = format!("{}@{}", "t".repeat(241), "v".repeat(14));
        for (flags, state, sent) in [
            ("03", "foo=1,bar=2", "foo=1,bar=2"),
            ("02", &*format!("{tenant}=1"), &*format!("{tenant}=1")),
            ("01", "foo=,bar=3", ""),
        ] {
            let parent = format!("{}{flags}", &VALID[..53]);
            let carrier = HashMap::from([
                ("traceparent".to_owned(), parent.clone()),
                ("tracestate".to_owned(), state.to_owned()),
            ]);
            let mut out = HashMap::new();
            propagator.inject_context(&propagator.extract(&carrier), &mut out);
            assert_eq!(out["traceparent"], parent);
            assert_eq!(out.get("tracestate").map_or("", String::as_str), sent);
        }
        let mut headers = HashMap::new();
        span!("out").in_scope(|_| {
            propagator.inject_context(&opentelemetry::Context::current(), &mut headers)
        });
        assert!(headers["traceparent"].starts_with("00-"));
    });
}
