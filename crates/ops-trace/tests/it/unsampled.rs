//! Unsampled requests: all their data is available once it is needed.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::Path;
use axum::http::{Method, StatusCode};
use axum::routing::get;
use opentelemetry::trace::{
    SpanContext, SpanId, Status, TraceContextExt, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Context, KeyValue};
use ops_http::{Ending, Observe, Outcome, Route};
use ops_trace::axum::instrument_axum_with;
use ops_trace::http::{ServerSpans, Trust};
use ops_trace::testing::{Collector, ReceivedSpan};
use ops_trace::{Config, Tracer};

use crate::config;
use crate::served::{Served, spans};

/// Records something of each kind on its span, and fails.
async fn fails() -> StatusCode {
    let context = Context::current();
    let span = context.span();
    span.set_attribute(KeyValue::new("seats", 3));
    span.set_attribute(KeyValue::new("url.scheme", "ours"));
    span.add_event("sold", vec![KeyValue::new("rows", 2)]);
    let (trace, other) = (TraceId::from(7), SpanId::from(8));
    let other = SpanContext::new(trace, other, TraceFlags::SAMPLED, true, TraceState::NONE);
    span.add_link(other, Vec::new());
    StatusCode::INTERNAL_SERVER_ERROR
}

async fn renames() -> StatusCode {
    Context::current().span().update_name("ours");
    StatusCode::BAD_GATEWAY
}

/// Returns all exported spans of these requests, from a tracer that samples all or none, but keeps failed ones.
async fn exported(ratio: f64, trust: Trust, headers: &[(&str, &str)]) -> Vec<ReceivedSpan> {
    let collector = Collector::start().unwrap();
    let config = config(&collector.endpoint()).keep_errors(true);
    let tracer = Tracer::new(config.sampling_ratio(ratio)).unwrap();
    let router = Router::new()
        .route("/fails/{id}", get(fails))
        .route("/renames", get(renames));
    let observer = spans(tracer.handle()).trust(trust).client_attributes(true);
    let served = Served::start(instrument_axum_with(router, observer)).await;
    for path in ["GET /fails/1?page=2", "GET /renames"] {
        served.send(path, headers).await;
        tracer.flush();
    }
    collector.spans()
}

/// Returns the spans as texts, without the parts that differ by request.
fn comparable(spans: &[ReceivedSpan]) -> Vec<String> {
    let one = |span: &ReceivedSpan| {
        let mut span = span.clone();
        span.span_id.clear();
        span.start = SystemTime::UNIX_EPOCH;
        span.duration = Duration::ZERO;
        span.resource.clear();
        if span.parent_span_id.is_empty() {
            span.trace_id.clear();
        }
        format!("{span:#?}")
    };
    spans.iter().map(one).collect()
}

#[tokio::test]
async fn a_failed_request_is_the_same_span_whether_it_was_sampled_or_not() {
    let parent = |flags: &str| format!("00-{:032x}-{:016x}-{flags}", 5, 6);
    let (sampled, not_sampled) = (parent("01"), parent("00"));
    let (state, proxy) = (("tracestate", "a=1,b=2"), ("x-forwarded-proto", "https"));
    for trust in [Trust::Everybody, Trust::Nobody] {
        for with_parent in [true, false] {
            let headers = |parent| match with_parent {
                true => vec![("traceparent", parent), state, proxy],
                false => vec![proxy],
            };
            let seen = exported(1.0, trust, &headers(&sampled)).await;
            let kept = exported(0.0, trust, &headers(&not_sampled)).await;
            assert_eq!(seen.len(), 2);
            assert_eq!(
                comparable(&kept),
                comparable(&seen),
                "{trust:?} {with_parent}"
            );
            let [fails, renames] = &kept[..] else {
                panic!("{kept:?}");
            };
            assert_eq!(fails.name, "GET /fails/{id}");
            assert_eq!(renames.name, "ours");
            assert_eq!(fails.attribute("seats"), Some("3"));
            assert_eq!(fails.attribute("url.query"), Some("page=2"));
            assert_eq!(fails.events.len(), 1);
            let has_parent = trust == Trust::Everybody && with_parent;
            assert_eq!(fails.parent_span_id.is_empty(), !has_parent);
            let own_link = usize::from(with_parent && !has_parent);
            assert_eq!(fails.links.len(), 1 + own_link);
        }
    }
}

/// Records something on its span if the id is even, and fails above 2.
async fn tells(Path(id): Path<u32>) -> StatusCode {
    if id.is_multiple_of(2) {
        let seats = KeyValue::new("seats", 3);
        Context::current().span().set_attribute(seats);
    }
    match id {
        ..=2 => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

#[tokio::test]
async fn a_sampled_request_is_the_same_span_whether_something_was_recorded_or_not() {
    for (trust, links) in [(Trust::Everybody, 0), (Trust::Nobody, 1)] {
        let collector = Collector::start().unwrap();
        let config = config(&collector.endpoint()).sampling_ratio(1.0);
        let tracer = Tracer::new(config).unwrap();
        let observer = spans(tracer.handle()).client_attributes(true);
        let router = Router::new().route("/tells/{id}", get(tells));
        let served = Served::start(instrument_axum_with(router, observer.trust(trust))).await;
        let parent = format!("00-{:032x}-{:016x}-03", 5, 6);
        for id in 1..=4 {
            let headers = [("traceparent", &*parent), ("tracestate", "a=1")];
            served
                .send(&format!("GET /tells/{id}?page=2"), &headers)
                .await;
            tracer.flush();
        }
        let mut spans = collector.spans();
        for span in &mut spans {
            span.attributes
                .retain(|(key, _)| key != "seats" && key != "url.path");
        }
        let [silent, logged, silent_failure, reported_failure] = &comparable(&spans)[..] else {
            panic!("{spans:?}");
        };
        assert_eq!(silent, logged);
        assert_eq!(silent_failure, reported_failure);
        assert_eq!(spans[0].name, "GET /tells/{id}");
        assert_eq!(spans[0].links.len(), links);
        assert_eq!(spans[2].attribute("error.type"), Some("503"));
    }
}

fn request(parent: Option<&str>) -> axum::http::request::Parts {
    let mut request = axum::http::Request::get("/").body(()).unwrap();
    if let Some(parent) = parent {
        let value = parent.parse().unwrap();
        request.headers_mut().insert("traceparent", value);
    }
    request.into_parts().0
}

fn answered(status: u16) -> Outcome {
    let (ending, elapsed) = (Ending::Complete, Duration::ZERO);
    let mut outcome = Outcome::new(Method::GET, None, status, ending, elapsed);
    outcome.sent_status = Some(status);
    outcome
}

fn quiet(ratio: f64, variables: &[(&str, &str)]) -> Tracer {
    let config = Config::new("it").sampling_ratio(ratio);
    let all = variables.iter().copied();
    let all = all.chain([("OTEL_TRACES_EXPORTER", "none")]);
    Tracer::new(config.environment(all)).unwrap()
}

#[test]
fn the_share_of_requests_that_are_sampled_is_the_ratio() {
    const REQUESTS: u32 = 20_000;
    let by_trace_id = [("OTEL_TRACES_SAMPLER", "traceidratio")];
    // the parent decides for one sampler, and is ignored by the other
    for (variables, flags, range) in [
        (&[][..], None, 1_700..2_300),
        (&[], Some("01"), REQUESTS..REQUESTS + 1),
        (&[], Some("00"), 0..1),
        (&by_trace_id, None, 1_700..2_300),
        (&by_trace_id, Some("01"), 1_700..2_300),
        (&by_trace_id, Some("00"), 1_700..2_300),
    ] {
        let tracer = quiet(0.1, variables);
        let spans = ServerSpans::new().handle(tracer.handle());
        let spans = spans.trust(Trust::Everybody);
        let mut sampled = 0;
        for n in 0..REQUESTS {
            let random = u128::from(n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            let parent = flags.map(|flags| format!("00-{random:032x}-{:016x}-{flags}", 6));
            let mut scope = spans.start(&mut request(parent.as_deref()));
            let entered = spans.enter(&mut scope);
            let ids = Context::current().span().span_context().clone();
            sampled += u32::from(ids.is_sampled());
            drop(entered);
        }
        assert!(
            range.contains(&sampled),
            "{variables:?} {flags:?} {sampled}"
        );
        let counted = tracer.stats().ended_sampled;
        assert_eq!(counted, u64::from(sampled), "each has ended");
    }
}

#[test]
fn changes_after_the_end_of_a_request_are_not_recorded() {
    let tracer = quiet(0.0, &[]);
    let spans = ServerSpans::new().handle(tracer.handle());
    let mut contexts = Vec::new();
    for fails in [false, true] {
        let mut scope = spans.start(&mut request(None));
        let entered = spans.enter(&mut scope);
        let context = Context::current();
        drop(entered);
        assert!(context.span().is_recording());
        spans.end(scope, &answered(if fails { 500 } else { 200 }));
        assert!(!context.span().is_recording());
        context.span().set_attribute(KeyValue::new("late", true));
        context.span().set_status(Status::error("late"));
        contexts.push(context);
    }
    tracer.flush();
    let before = tracer.recent().errors.len();
    drop(contexts);
    tracer.flush();
    let errors = tracer.recent().errors;
    assert_eq!((before, errors.len()), (1, 1), "the one that failed, once");
    let attributes = &errors[0].spans[0].attributes;
    assert!(
        attributes.iter().all(|(key, _)| key != "late"),
        "{attributes:?}"
    );
}

#[test]
fn a_handler_may_end_the_span_of_its_request() {
    let tracer = quiet(0.0, &[]);
    let spans = ServerSpans::new().handle(tracer.handle());
    let mut scope = spans.start(&mut request(None));
    let entered = spans.enter(&mut scope);
    let context = Context::current();
    context.span().set_status(Status::error("early"));
    context.span().end();
    drop(entered);
    drop(scope);
    tracer.flush();
    let errors = tracer.recent().errors;
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].spans[0].name, "HTTP");
}

#[test]
fn the_decision_about_a_request_holds_though_the_ratio_changes_while_it_runs() {
    for (before, after) in [(0.0, 1.0), (1.0, 0.0)] {
        let tracer = quiet(before, &[("OPS_TRACE_KEEP", "none")]);
        let spans = ServerSpans::new().handle(tracer.handle());
        let mut scope = spans.start(&mut request(None));
        tracer.set_sampling_ratio(after, crate::SOON).unwrap();
        let entered = spans.enter(&mut scope);
        let ids = ops_trace::current_span_ids().unwrap();
        Context::current().span().set_status(Status::error(""));
        drop(entered);
        drop(scope);
        tracer.flush();
        assert_eq!(tracer.stats().ended_sampled, u64::from(before == 1.0));
        let errors = tracer.recent().errors;
        assert_eq!(errors.len(), 1);
        let trace_id = u128::from_be_bytes(ids.trace_id);
        assert_eq!(errors[0].trace_id, format!("{trace_id:032x}"));
    }
}

#[test]
fn a_context_that_outlives_its_request_holds_none_of_its_head() {
    for is_reported in [false, true] {
        let tracer = quiet(0.0, &[]);
        let spans = ServerSpans::new().handle(tracer.handle());
        let template: Arc<str> = Arc::from("/users/{id}");
        let mut parts = request(None);
        parts.extensions.insert(Route::new(Arc::clone(&template)));
        let mut scope = spans.start(&mut parts);
        drop(parts);
        let entered = spans.enter(&mut scope);
        let context = Context::current();
        if is_reported {
            context.span().set_attribute(KeyValue::new("seats", 3));
        }
        drop(entered);
        assert!(Arc::strong_count(&template) > 1);
        spans.end(scope, &answered(200));
        assert_eq!(Arc::strong_count(&template), 1, "{is_reported}");
        drop(context);
    }
}
