//! Spans as passed to the span end hook: there is one hook per process, so this is a separate process.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use ops_http::{Ending, Observe, Outcome};
use ops_trace::http::{ServerSpans, Trust};
use ops_trace::{Config, Tracer, span};
use tracing_subscriber::layer::SubscriberExt;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";

/// Name, parent, kind, sampling and error of a span, as passed to the hook.
type Shown = (String, Option<[u8; 8]>, &'static str, bool, bool);

/// Held by the test that sets the process's hook.
static HOOK: Mutex<()> = Mutex::new(());

/// Serves a request with this status, and returns its ids.
fn serve(spans: &ServerSpans, flags: &str, status: u16) -> ([u8; 16], [u8; 8]) {
    let mut request = http::Request::get("/users/7").body(()).unwrap();
    let parent = format!("{PARENT}-{flags}").parse().unwrap();
    request.headers_mut().insert("traceparent", parent);
    let mut request = request.into_parts().0;
    let mut scope = spans.start(&mut request);
    let entered = spans.enter(&mut scope);
    let ids = ops_trace::current_span_ids().unwrap();
    drop(entered);
    let route = Some(ops_http::Route::new("/users/{id}"));
    let (ending, elapsed) = (Ending::Complete, Duration::from_millis(3));
    let mut outcome = Outcome::new(request.method, route, status, ending, elapsed);
    outcome.sent_status = Some(status);
    spans.end(scope, &outcome);
    (ids.trace_id, ids.span_id)
}

#[test]
fn each_request_is_shown_once_and_described_whether_it_is_sampled_or_not() {
    let _one = HOOK.lock();
    type Log = Vec<([u8; 16], [u8; 8], Duration, Shown)>;
    let log: Arc<Mutex<Log>> = Arc::default();
    let shown = Arc::clone(&log);
    ops_trace::set_span_end_hook(move |span| {
        shown.lock().unwrap().push((
            span.trace_id,
            span.span_id,
            span.duration,
            (
                span.name.to_owned(),
                span.parent_span_id,
                span.kind,
                span.is_sampled,
                span.is_error,
            ),
        ));
    });
    for keep in ["none", "errors"] {
        let variables = [("OTEL_TRACES_EXPORTER", "none"), ("OPS_TRACE_KEEP", keep)];
        let tracer = Tracer::new(Config::new("it").environment(variables)).unwrap();
        let spans = ServerSpans::new().handle(tracer.handle());
        let spans = spans.trust(Trust::Everybody);
        for (flags, status) in [("00", 200), ("00", 500), ("01", 200), ("01", 500)] {
            let ids = serve(&spans, flags, status);
            let shown = std::mem::take(&mut *log.lock().unwrap());
            assert_eq!(shown.len(), 1, "{shown:?}");
            let (trace_id, span_id, duration, shown) = &shown[0];
            assert_eq!((*trace_id, *span_id), ids);
            assert!(*duration < Duration::from_secs(20));
            let parent = Some(0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
            let name = "GET /users/{id}".to_owned();
            let expected = (name, parent, "server", flags == "01", status == 500);
            assert_eq!(*shown, expected);
        }
        drop(spans.start(&mut http::Request::get("/").body(()).unwrap().into_parts().0));
        assert_eq!(std::mem::take(&mut *log.lock().unwrap()).len(), 1);
        span!(tracer: tracer, "other").in_scope(|_| ());
        assert_eq!(std::mem::take(&mut *log.lock().unwrap()).len(), 1);
    }
}

#[test]
fn the_route_that_was_found_before_a_request_names_it_if_its_end_tells_none() {
    let _one = HOOK.lock();
    let log: Arc<Mutex<Vec<String>>> = Arc::default();
    let shown = Arc::clone(&log);
    ops_trace::set_span_end_hook(move |span| shown.lock().unwrap().push(span.name.to_owned()));
    let variables = [("OTEL_TRACES_EXPORTER", "none")];
    let tracer = Tracer::new(Config::new("it").environment(variables)).unwrap();
    let spans = ServerSpans::new().handle(tracer.handle());
    let spans = spans.trust(Trust::Everybody);
    for flags in ["00", "01"] {
        let request = http::Request::get("/users/7").extension(ops_http::Route::new("/users/{id}"));
        let request = request.header("traceparent", format!("{PARENT}-{flags}"));
        let mut request = request.body(()).unwrap().into_parts().0;
        let scope = spans.start(&mut request);
        let (ending, elapsed) = (Ending::Complete, Duration::from_millis(3));
        let outcome = Outcome::new(request.method, None, 200, ending, elapsed);
        spans.end(scope, &outcome);
    }
    let shown = std::mem::take(&mut *log.lock().unwrap());
    assert_eq!(shown, ["GET /users/{id}"; 2]);
}

/// Delay of events that must not happen during the test.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_hook_may_log_at_the_end_of_any_span() {
    let _one = HOOK.lock();
    ops_trace::set_span_end_hook(|span| tracing::info!(name = span.name, "ended"));
    let (send, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let variables = [
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OPS_TRACE_EVENTS", "true"),
        ];
        let tracer = Tracer::new(Config::new("it").environment(variables)).unwrap();
        let subscriber = tracing_subscriber::registry().with(tracer.tracing_layer());
        tracing::subscriber::with_default(subscriber, || {
            span!(tracer: tracer, "scope").in_scope(|_| ());
            tracing::info_span!("theirs").in_scope(|| ());
            let future = span!(tracer: tracer, "future").instrument(async {});
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime.unwrap().block_on(future);
        });
        send.send(()).unwrap();
    });
    ended.recv_timeout(LONG).unwrap();
}
