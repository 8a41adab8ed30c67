use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request as Received};
use axum::middleware::{Next, from_fn};
use axum::routing::get;
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use ops_http::{Ending, Observe, ObserveLayer, Outcome, Route};
use ops_metrics::http::{RedMetrics, RequestScope};
use ops_metrics::testing::Registry;
use tower::ServiceExt as _;

fn app() -> Router {
    Router::new()
        .route(
            "/panics/{id}",
            get(|| async { std::panic::resume_unwind(Box::new("on purpose")) as () }),
        )
        .route("/hangs/{id}", get(pending::<()>))
        .route("/fine/{id}", get(|| async { "fine" }))
        .route("/stream", get(stream))
        .layer(ObserveLayer::new((RedMetrics::new(),)))
        .layer(from_fn(tell_route))
}

/// Adds the matched route, as the feature `axum` of ops-http does.
async fn tell_route(mut request: Received, next: Next) -> axum::response::Response {
    if let Some(matched) = request.extensions().get::<MatchedPath>() {
        let route = Route::new(matched.as_str());
        request.extensions_mut().insert(route);
    }
    next.run(request).await
}

/// Returns a body without a length that has sent one frame.
async fn stream() -> Response<Body> {
    let (sender, body) = http_body_util::channel::Channel::<Bytes, Infallible>::new(1);
    let mut sender = sender;
    drop(sender.try_send(http_body::Frame::data(Bytes::from_static(b"first"))));
    drop(tokio::spawn(async move {
        let _open = sender;
        pending::<()>().await;
    }));
    Response::new(Body::new(body))
}

fn request(method: Method, path: &str) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .body(Body::empty())
        .unwrap()
}

async fn finish(app: Router, method: Method, path: &str) {
    let Ok(response) = app.oneshot(request(method, path)).await;
    drop(response.into_body().collect().await);
}

/// Returns all series of the requests except those that are 0.
fn counted(registry: Registry) -> Vec<(String, f64)> {
    let snapshot = registry.snapshot();
    let all = snapshot
        .series("http_requests_total")
        .filter(|(_, count)| *count > 0.0);
    all.map(|(series, count)| (series.replace("http_requests_total", ""), count))
        .collect()
}

#[tokio::test]
async fn a_handler_that_panics_is_one_500() {
    let registry = Registry::new();
    let task = tokio::spawn(registry.scope(finish(app(), Method::GET, "/panics/7")));
    assert!(task.await.unwrap_err().is_panic());
    let one = r#"{route="/panics/{id}",method="GET",status="500"}"#.to_owned();
    assert_eq!(counted(registry), [(one, 1.0)]);
    assert_eq!(registry.value("http_requests_in_flight"), Some(0.0));
}

/// An observer that panics before the request begins.
#[derive(Clone)]
struct Panics;

impl Observe for Panics {
    type Scope = ();
    type Entered<'a> = ();

    fn start(&self, _: &mut http::request::Parts) {
        std::panic::resume_unwind(Box::new("on purpose"))
    }

    fn enter(&self, (): &mut ()) {}

    fn response(&self, (): &mut (), _: &mut http::response::Parts) {}

    fn end(&self, (): (), _: &Outcome) {}
}

#[tokio::test]
async fn a_request_that_another_observer_does_not_let_begin_is_not_in_flight() {
    let registry = Registry::new();
    let observers = ObserveLayer::new((RedMetrics::new(), Panics));
    let app = Router::new().route("/", get(|| async {})).layer(observers);
    let task = tokio::spawn(registry.scope(finish(app, Method::GET, "/")));
    assert!(task.await.unwrap_err().is_panic());
    let in_flight = registry.value("http_requests_in_flight");
    assert_eq!(in_flight.unwrap_or_default(), 0.0);
}

#[tokio::test]
async fn a_client_that_goes_away_before_or_within_the_response_is_one_499() {
    let registry = Registry::new();
    let before = async {
        let mut call = Box::pin(app().oneshot(request(Method::GET, "/hangs/7")));
        assert!(futures_poll(&mut call).await.is_none());
    };
    registry.scope(before).await;
    let within = async {
        let Ok(response) = app().oneshot(request(Method::GET, "/stream")).await;
        let mut body = response.into_body();
        assert!(body.frame().await.unwrap().unwrap().is_data());
        drop(body);
    };
    registry.scope(within).await;
    let aborted = [
        r#"{route="/hangs/{id}",method="GET",status="499"}"#,
        r#"{route="/stream",method="GET",status="499"}"#,
    ];
    assert_eq!(
        counted(registry),
        aborted.map(|series| (series.to_owned(), 1.0))
    );
    assert_eq!(registry.value("http_requests_in_flight"), Some(0.0));
}

/// Polls once.
async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn what_no_route_matches_is_one_404_under_unmatched_and_a_wrong_method_one_405() {
    let registry = Registry::new();
    registry
        .scope(finish(app(), Method::PATCH, "/no/such/path?x=1"))
        .await;
    registry
        .scope(finish(app(), Method::DELETE, "/fine/1"))
        .await;
    let expected = [
        r#"{route="/fine/{id}",method="DELETE",status="405"}"#,
        r#"{route="unmatched",method="PATCH",status="404"}"#,
    ];
    assert_eq!(
        counted(registry),
        expected.map(|series| (series.to_owned(), 1.0))
    );
}

#[tokio::test]
async fn the_latency_is_observed_once_for_each_request_under_its_template() {
    let registry = Registry::new();
    for id in 0..5 {
        registry
            .scope(finish(app(), Method::GET, &format!("/fine/{id}")))
            .await;
    }
    let count = r#"http_request_latency_seconds_count{route="/fine/{id}",method="GET"}"#;
    assert_eq!(registry.value(count), Some(5.0));
}

#[tokio::test]
async fn every_response_has_its_time_to_the_head_and_a_stream_its_duration_besides() {
    let registry = Registry::new();
    let left = async {
        let Ok(response) = app().oneshot(request(Method::GET, "/stream")).await;
        drop(response);
    };
    registry.scope(left).await;
    registry.scope(finish(app(), Method::GET, "/fine/1")).await;
    for (route, streams) in [("/stream", Some(1.0)), ("/fine/{id}", None)] {
        let of = |name: &str| format!(r#"{name}_count{{route="{route}",method="GET"}}"#);
        assert_eq!(
            registry.value(&of("http_request_latency_seconds")),
            Some(1.0)
        );
        assert_eq!(registry.value(&of("http_stream_duration_seconds")), streams);
    }
}

/// Returns an outcome after 40 s, with the head after 30 ms.
fn slow(ending: Ending) -> Outcome {
    let route = Some(Route::new("/slow"));
    let elapsed = Duration::from_secs(40);
    let mut outcome = Outcome::new(Method::GET, route, 200, ending, elapsed);
    outcome.sent_status = Some(200);
    outcome.time_to_headers = Some(Duration::from_millis(30));
    outcome
}

fn observed(outcome: &Outcome) -> Registry {
    let registry = Registry::new();
    registry.run(|| {
        let (mut parts, ()) = Request::new(()).into_parts();
        let observer = RedMetrics::new();
        observer.start(&mut parts);
        observer.end(Default::default(), outcome);
    });
    registry
}

#[test]
fn a_failure_after_the_head_keeps_the_status_and_is_counted_apart() {
    for (ending, error_type) in [
        (Ending::Failed, "body_error"),
        (Ending::Panicked, "panic"),
        (Ending::CutOff, "cut_off"),
    ] {
        let registry = observed(&slow(ending));
        let request = r#"http_requests_total{route="/slow",method="GET",status="200"}"#;
        assert_eq!(registry.value(request), Some(1.0));
        let failure = format!(
            r#"http_response_failures_total{{route="/slow",method="GET",error_type="{error_type}"}}"#
        );
        assert_eq!(registry.value(&failure), Some(1.0));
        let head = r#"http_request_latency_seconds_sum{route="/slow",method="GET"}"#;
        assert_eq!(registry.value(head), Some(0.03));
    }
    for ending in [Ending::Complete, Ending::Aborted] {
        let snapshot = observed(&slow(ending)).snapshot();
        assert_eq!(snapshot.series("http_response_failures_total").count(), 0);
    }
}

#[test]
fn a_status_beyond_599_is_one_error() {
    let mut strange = slow(Ending::Complete);
    (strange.status, strange.sent_status) = (999, Some(999));
    let registry = observed(&strange);
    let failures = registry.snapshot();
    let failures: Vec<_> = failures.series("http_response_failures_total").collect();
    let series = r#"http_response_failures_total{route="/slow",method="GET",error_type="other"}"#;
    assert_eq!(failures, [(series, 1.0)]);
}

#[test]
fn a_server_error_whose_body_breaks_off_is_one_error() {
    let registry = Registry::new();
    registry.tick(Duration::ZERO);
    let mut broken = slow(Ending::Failed);
    (broken.status, broken.sent_status) = (503, Some(503));
    registry.run(|| {
        for outcome in [&broken, &slow(Ending::Complete), &slow(Ending::Failed)] {
            let (mut parts, ()) = Request::new(()).into_parts();
            let observer = RedMetrics::new();
            observer.start(&mut parts);
            observer.end(Default::default(), outcome);
        }
    });
    registry.tick(Duration::from_secs(1));
    let lines = registry.run(ops_metrics::sparklines);
    let ratio = lines.iter().find(|line| line.name == "error_ratio");
    assert_eq!(ratio.unwrap().points, [Some(2.0 / 3.0)]);
    let routes = registry.run(|| ops_metrics::routes_over(ops_metrics::Window::FiveMinutes));
    assert_eq!((routes[0].requests, routes[0].errors), (3, 2));
    let failures = registry.snapshot();
    let failures = failures.series("http_response_failures_total");
    assert_eq!(failures.map(|(_, count)| count).sum::<f64>(), 1.0);
}

#[test]
fn query_is_a_known_method_and_any_other_one_is_other() {
    for (method, label) in [
        ("QUERY", "QUERY"),
        ("PROPFIND", "_OTHER"),
        ("get", "_OTHER"),
    ] {
        let mut outcome = slow(Ending::Complete);
        outcome.method = Method::from_bytes(method.as_bytes()).unwrap();
        let series =
            format!(r#"http_requests_total{{route="/slow",method="{label}",status="200"}}"#);
        assert_eq!(observed(&outcome).value(&series), Some(1.0), "{method}");
    }
}

#[test]
fn streams_are_timed_apart_from_requests() {
    let registry = Registry::new();
    registry.run(|| {
        let (mut parts, ()) = Request::new(()).into_parts();
        let observer = RedMetrics::new();
        observer.start(&mut parts);
        let route = Some(Route::new("/stream"));
        let elapsed = Duration::from_millis(30);
        let mut outcome = Outcome::new(Method::GET, route, 200, Ending::Complete, elapsed);
        outcome.streamed = true;
        observer.end(Default::default(), &outcome);
    });
    let stream = r#"http_stream_duration_seconds_count{route="/stream",method="GET"}"#;
    assert_eq!(registry.value(stream), Some(1.0));
    let latency = r#"http_request_latency_seconds_count{route="/stream",method="GET"}"#;
    assert_eq!(registry.value(latency), Some(1.0));
}

#[tokio::test]
async fn a_second_name_is_there_only_if_it_is_switched_on() {
    for (on, count) in [(false, None), (true, Some(2.0))] {
        let registry = Registry::new();
        let red = RedMetrics::new().semantic_names(on);
        let app = Router::new()
            .route("/fine/{id}", get(|| async { "fine" }))
            .layer(ObserveLayer::new((red,)))
            .layer(from_fn(tell_route));
        let both = async {
            finish(app.clone(), Method::GET, "/fine/1").await;
            finish(app, Method::GET, "/fine/2").await;
        };
        registry.scope(both).await;
        let labels = r#"{http_request_method="GET",http_route="/fine/{id}",http_response_status_code="200"}"#;
        let series = format!("http_server_request_duration_seconds_count{labels}");
        assert_eq!(registry.value(&series), count);
    }
}

#[test]
fn each_of_more_routes_than_are_found_by_their_address_is_counted_as_its_own() {
    const ROUTES: usize = 300;
    let config = ops_metrics::Config::new().label_values_max(ROUTES);
    let registry = Registry::with(&config).unwrap();
    let observer = RedMetrics::new();
    registry.run(|| {
        for number in (0..ROUTES).chain(0..ROUTES) {
            let route = Some(Route::new(format!("/{number}/{{id}}")));
            let outcome = Outcome::new(Method::GET, route, 200, Ending::Complete, Duration::ZERO);
            observer.end(RequestScope::default(), &outcome);
        }
    });
    let counted = counted(registry);
    assert_eq!(counted.len(), ROUTES);
    assert!(
        counted.iter().all(|(_, count)| *count == 2.0),
        "{counted:?}"
    );
}
