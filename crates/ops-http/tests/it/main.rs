//! What observers are told, for each way in which a request can end.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get;
use http::{Method, Request, StatusCode, request, response};
use http_body_util::BodyExt;
use ops_http::{Ending, Observe, ObserveLayer, Outcome, Route};
use tower::ServiceExt;

thread_local! {
    static INSIDE: Cell<u32> = const { Cell::new(0) };
}

/// Keeps every outcome, and marks the thread while a scope is entered.
#[derive(Clone, Default)]
struct Record {
    started: Arc<Mutex<u32>>,
    ended: Arc<Mutex<Vec<Outcome>>>,
}

struct Mark;

impl Drop for Mark {
    fn drop(&mut self) {
        INSIDE.set(INSIDE.get() - 1);
    }
}

impl Observe for Record {
    type Scope = ();
    type Entered<'a> = Mark;

    fn start(&self, _: &mut request::Parts) {
        *self.started.lock().unwrap() += 1;
    }

    fn enter<'a>(&'a self, (): &'a mut ()) -> Mark {
        INSIDE.set(INSIDE.get() + 1);
        Mark
    }

    fn response(&self, (): &mut (), response: &mut response::Parts) {
        response.headers.insert("x-seen", "1".parse().unwrap());
    }

    fn end(&self, (): (), outcome: &Outcome) {
        self.ended.lock().unwrap().push(outcome.clone());
    }
}

impl Record {
    fn only(&self) -> Outcome {
        assert_eq!(*self.started.lock().unwrap(), 1);
        let ended = self.ended.lock().unwrap();
        assert_eq!(ended.len(), 1, "end is told exactly once");
        ended[0].clone()
    }
}

fn app(record: &Record) -> Router {
    Router::new()
        .route(
            "/users/{id}",
            get(|| async {
                assert_eq!(INSIDE.get(), 1);
                "hello"
            }),
        )
        .route(
            "/stream",
            get(|| async { Body::new(Chunks(vec!["a", "b"])) }),
        )
        .route("/panic", get(|| async { panic!("handler") as &str }))
        .route("/hang", get(std::future::pending::<&str>))
        .route("/none", get(|| async { StatusCode::NO_CONTENT }))
        .layer(ObserveLayer::new((record.clone(),)))
}

/// A body of unknown length.
struct Chunks(Vec<&'static str>);

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        assert_eq!(INSIDE.get(), 1, "a body runs in its scope");
        Poll::Ready(
            self.0
                .pop()
                .map(|text| Ok(http_body::Frame::data(Bytes::from(text)))),
        )
    }
}

fn request(method: Method, path: &str) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .body(Body::empty())
        .unwrap()
}

#[tokio::test]
async fn a_whole_response_is_complete_with_route_status_and_bytes() {
    let record = Record::default();
    let response = app(&record)
        .oneshot(request(Method::GET, "/users/7"))
        .await
        .unwrap();
    assert_eq!(response.headers()["x-seen"], "1");
    assert!(
        record.ended.lock().unwrap().is_empty(),
        "not over before the body's end"
    );
    response.into_body().collect().await.unwrap();
    let outcome = record.only();
    assert_eq!(
        (outcome.ending, outcome.status, outcome.body_bytes),
        (Ending::Complete, 200, 5)
    );
    assert_eq!(
        outcome.route.as_ref().map(Route::template),
        Some("/users/{id}")
    );
    assert!(!outcome.streamed && outcome.time_to_headers.unwrap() <= outcome.elapsed);
    assert_eq!(INSIDE.get(), 0);
}

#[tokio::test]
async fn a_stream_ends_with_its_last_frame() {
    let record = Record::default();
    let response = app(&record)
        .oneshot(request(Method::GET, "/stream"))
        .await
        .unwrap();
    response.into_body().collect().await.unwrap();
    let outcome = record.only();
    assert_eq!(
        (outcome.ending, outcome.body_bytes, outcome.streamed),
        (Ending::Complete, 2, true)
    );
}

#[tokio::test]
async fn a_body_dropped_in_the_middle_is_aborted() {
    let record = Record::default();
    let response = app(&record)
        .oneshot(request(Method::GET, "/stream"))
        .await
        .unwrap();
    let mut body = response.into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    let outcome = record.only();
    assert_eq!((outcome.ending, outcome.status), (Ending::Aborted, 499));
}

#[tokio::test]
async fn responses_without_a_body_are_complete_although_nobody_polls_them() {
    for (method, path, status) in [
        (Method::HEAD, "/users/7", 200),
        (Method::GET, "/none", 204),
        (Method::POST, "/users/7", 405),
        (Method::GET, "/missing", 404),
    ] {
        let record = Record::default();
        drop(app(&record).oneshot(request(method, path)).await.unwrap());
        let outcome = record.only();
        assert_eq!(
            (outcome.ending, outcome.status),
            (Ending::Complete, status),
            "{path}"
        );
    }
}

#[tokio::test]
async fn an_unmatched_path_has_no_route_and_a_wrong_method_keeps_it() {
    let record = Record::default();
    drop(
        app(&record)
            .oneshot(request(Method::GET, "/missing"))
            .await
            .unwrap(),
    );
    assert_eq!(record.only().route, None);
    let record = Record::default();
    drop(
        app(&record)
            .oneshot(request(Method::POST, "/users/7"))
            .await
            .unwrap(),
    );
    assert_eq!(record.only().route.unwrap().template(), "/users/{id}");
}

#[tokio::test]
async fn a_panicking_handler_is_told_once_as_500() {
    let record = Record::default();
    let app = app(&record);
    let task = tokio::spawn(app.oneshot(request(Method::GET, "/panic")));
    assert!(task.await.unwrap_err().is_panic());
    let outcome = record.only();
    assert_eq!((outcome.ending, outcome.status), (Ending::Panicked, 500));
    assert_eq!(INSIDE.get(), 0, "the scope is left in spite of the panic");
}

#[test]
fn a_client_that_goes_away_before_the_head_is_aborted() {
    let record = Record::default();
    {
        let mut future = pin!(app(&record).oneshot(request(Method::GET, "/hang")));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(future.as_mut().poll(&mut cx).is_pending());
    }
    let outcome = record.only();
    assert_eq!((outcome.ending, outcome.status), (Ending::Aborted, 499));
    assert_eq!(outcome.time_to_headers, None);
    assert!(outcome.elapsed < Duration::from_secs(60));
}

#[tokio::test]
async fn a_service_error_is_failed() {
    let record = Record::default();
    let service =
        tower::service_fn(|_: Request<Body>| async { Err::<http::Response<Body>, _>("no") });
    let service = tower::Layer::layer(&ObserveLayer::new(record.clone()), service);
    service
        .oneshot(request(Method::GET, "/"))
        .await
        .err()
        .unwrap();
    let outcome = record.only();
    assert_eq!((outcome.ending, outcome.status), (Ending::Failed, 500));
}
