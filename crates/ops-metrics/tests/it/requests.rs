use std::time::Duration;

use http::{Method, Request};
use ops_http::{Ending, Observe as _, Outcome, Route};
use ops_metrics::http::RedMetrics;

use crate::{rendered, value};

fn observed(method: Method, route: Option<&str>, status: u16, ending: Ending, streamed: bool) {
    let (mut parts, ()) = Request::new(()).into_parts();
    let observer = RedMetrics::new();
    observer.start(&mut parts);
    let route = route.map(Route::new);
    let mut outcome = Outcome::new(method, route, status, ending, Duration::from_millis(30));
    outcome.streamed = streamed;
    observer.end((), &outcome);
}

#[test]
fn a_panic_an_abort_and_a_404_count_once_each() {
    observed(Method::GET, Some("/red/{id}"), 500, Ending::Panicked, false);
    observed(Method::GET, Some("/red/{id}"), 499, Ending::Aborted, false);
    observed(Method::PATCH, None, 404, Ending::Complete, false);
    let text = rendered();
    for series in [
        r#"http_requests_total{route="/red/{id}",method="GET",status="500"}"#,
        r#"http_requests_total{route="/red/{id}",method="GET",status="499"}"#,
        r#"http_requests_total{route="unmatched",method="PATCH",status="404"}"#,
        r#"http_request_latency_seconds_bucket{route="unmatched",method="PATCH",le="0.05"}"#,
    ] {
        assert_eq!(value(&text, series), Some(1.0), "{series}");
    }
}

#[test]
fn streams_are_timed_apart_from_requests() {
    observed(Method::GET, Some("/stream"), 200, Ending::Complete, true);
    let text = rendered();
    let stream = r#"http_stream_duration_seconds_count{route="/stream",method="GET"}"#;
    assert_eq!(value(&text, stream), Some(1.0));
    let latency = r#"http_request_latency_seconds_count{route="/stream",method="GET"}"#;
    assert_eq!(value(&text, latency), None);
}
