//! Exemplars in the OpenMetrics format.

use std::cell::Cell;

use http::Method;
use ops_metrics::catalog::http_request_latency;
use ops_metrics::testing::Registry;
use ops_metrics::{TraceId, set_exemplar_source};

use crate::parsers::Parsers;

thread_local! {
    static TRACE: Cell<Option<TraceId>> = const { Cell::new(None) };
}

/// Sets the trace of this thread; the source belongs to the process.
fn in_trace<T>(trace: Option<TraceId>, work: impl FnOnce() -> T) -> T {
    set_exemplar_source(|| TRACE.get());
    TRACE.set(trace);
    let result = work();
    TRACE.set(None);
    result
}

fn hex(trace: TraceId) -> String {
    trace.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn each_bucket_has_the_last_sampled_trace_that_was_observed_in_it() {
    let registry = Registry::new();
    registry.run(|| {
        let latency = http_request_latency("/exemplar", Method::GET);
        in_trace(Some([1; 16]), || latency.observe(0.2));
        in_trace(Some([0xab; 16]), || latency.observe(0.24));
        in_trace(Some([2; 16]), || latency.observe(99.0));
        in_trace(None, || latency.observe(0.03));
    });
    let text = registry.render_open_metrics();
    let line = |le: &str| {
        let bucket = format!(
            r#"http_request_latency_seconds_bucket{{route="/exemplar",method="GET",le="{le}"}}"#
        );
        let found = text.lines().find(|line| line.starts_with(&bucket));
        found.unwrap().split_once("} ").unwrap().1.to_owned()
    };
    let expected = format!("3 # {{trace_id=\"{}\"}} 0.24 ", hex([0xab; 16]));
    assert!(line("0.25").starts_with(&expected), "{}", line("0.25"));
    let expected = format!("4 # {{trace_id=\"{}\"}} 99 ", hex([2; 16]));
    assert!(line("+Inf").starts_with(&expected), "{}", line("+Inf"));
    assert_eq!(line("0.05"), "1");
    assert!(!registry.render().contains("trace_id"));
    if let Some(mut parsers) = Parsers::start() {
        let parsed = parsers.parse("openmetrics", &text).unwrap();
        let mut traces: Vec<_> = parsed
            .exemplars
            .iter()
            .map(|(_, id, value)| (id.as_str(), *value))
            .collect();
        traces.sort_by(|one, other| one.1.total_cmp(&other.1));
        let (first, second) = (hex([0xab; 16]), hex([2; 16]));
        assert_eq!(traces, [(first.as_str(), 0.24), (second.as_str(), 99.0)]);
    }
}

#[cfg(feature = "http")]
#[test]
fn a_request_has_the_trace_that_was_active_while_it_was_served() {
    use std::time::Duration;

    use ops_http::{Ending, Observe as _, Outcome, Route};
    use ops_metrics::http::RedMetrics;

    let registry = Registry::new();
    registry.run(|| {
        let observer = RedMetrics::new();
        let (mut parts, ()) = http::Request::new(()).into_parts();
        let mut scope = observer.start(&mut parts);
        in_trace(Some([3; 16]), || observer.enter(&mut scope));
        let route = Some(Route::new("/traced"));
        let took = Duration::from_millis(30);
        observer.end(
            scope,
            &Outcome::new(Method::GET, route, 200, Ending::Complete, took),
        );
    });
    let text = registry.render_open_metrics();
    let exemplar = format!("1 # {{trace_id=\"{}\"}} 0.03 ", hex([3; 16]));
    assert!(text.contains(&exemplar), "{exemplar}");
}

#[cfg(feature = "http")]
#[test]
fn a_request_has_the_trace_that_becomes_current_when_its_future_is_polled() {
    use std::time::Duration;

    use ops_http::{Ending, Observe as _, Outcome, Route};
    use ops_metrics::http::RedMetrics;

    let registry = Registry::new();
    registry.run(|| {
        let observer = RedMetrics::new();
        let (mut parts, ()) = http::Request::new(()).into_parts();
        let mut scope = observer.start(&mut parts);
        // like `service.call(request).instrument(span)`
        in_trace(None, || observer.enter(&mut scope));
        in_trace(Some([4; 16]), || observer.enter(&mut scope));
        in_trace(Some([5; 16]), || observer.enter(&mut scope));
        let route = Some(Route::new("/polled"));
        let took = Duration::from_millis(30);
        observer.end(
            scope,
            &Outcome::new(Method::GET, route, 200, Ending::Complete, took),
        );
    });
    let text = registry.render_open_metrics();
    let exemplar = format!("1 # {{trace_id=\"{}\"}} 0.03 ", hex([4; 16]));
    assert!(text.contains(&exemplar), "{exemplar}");
}
