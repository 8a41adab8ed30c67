//! Every way in which a request can end, in process.

use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use ops_http::{Ending, Observe, ObserveLayer, Outcome, Route};
use tower::ServiceExt;

use crate::record::{Record, inside};
use crate::script::{Script, Step};

fn app(record: &Record) -> Router {
    Router::new()
        .route(
            "/users/{id}",
            get(|| async {
                assert_eq!(inside(), 1);
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

/// Body of unknown length.
struct Chunks(Vec<&'static str>);

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        assert_eq!(inside(), 1, "a body runs in its scope");
        Poll::Ready(self.0.pop().map(|text| Ok(Frame::data(Bytes::from(text)))))
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
    let record = Record::new();
    let response = app(&record)
        .oneshot(request(Method::GET, "/users/7"))
        .await
        .unwrap();
    assert_eq!(response.headers()["x-seen"], "1");
    assert!(!record.has_ended(), "not over before the body's end");
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
    assert_eq!(inside(), 0);
}

#[tokio::test]
async fn a_stream_ends_with_its_last_frame() {
    let record = Record::new();
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
    let record = Record::new();
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
async fn an_error_of_the_server_stays_one_although_its_client_leaves() {
    for (status, reported, is_error) in [(404, 499, false), (500, 500, true), (503, 503, true)] {
        let head = Response::builder().status(status);
        let body = Script::new([data("sorry"), Step::Hang]);
        let outcome = outcome_of(Method::GET, head, body, 1).await;
        assert_eq!(
            (outcome.ending, outcome.status, outcome.is_server_error()),
            (Ending::Aborted, reported, is_error)
        );
        assert!(!outcome.failed_after_head());
    }
}

#[tokio::test]
async fn responses_without_a_body_are_complete_although_nobody_polls_them() {
    for (method, path, status) in [
        (Method::HEAD, "/users/7", 200),
        (Method::GET, "/none", 204),
        (Method::POST, "/users/7", 405),
        (Method::GET, "/missing", 404),
    ] {
        let record = Record::new();
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
    let record = Record::new();
    drop(
        app(&record)
            .oneshot(request(Method::GET, "/missing"))
            .await
            .unwrap(),
    );
    assert_eq!(record.only().route, None);
    let record = Record::new();
    drop(
        app(&record)
            .oneshot(request(Method::POST, "/users/7"))
            .await
            .unwrap(),
    );
    assert_eq!(record.only().route.unwrap().template(), "/users/{id}");
}

#[tokio::test]
async fn a_panicking_handler_is_reported_once_as_500() {
    let record = Record::new();
    let app = app(&record);
    let task = tokio::spawn(app.oneshot(request(Method::GET, "/panic")));
    assert!(task.await.unwrap_err().is_panic());
    let outcome = record.only();
    assert_eq!((outcome.ending, outcome.status), (Ending::Panicked, 500));
    assert_eq!(inside(), 0, "the scope is left in spite of the panic");
}

#[tokio::test]
async fn a_request_given_up_by_the_server_is_cut_off_before_and_after_the_head() {
    let record = Record::new();
    let mut hanging = Box::pin(app(&record).oneshot(request(Method::GET, "/hang")));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(hanging.as_mut().poll(&mut cx).is_pending());
    ops_http::cut_off(move || drop(hanging));
    let outcome = record.only();
    assert_eq!((outcome.ending, outcome.status), (Ending::CutOff, 503));
    assert_eq!(outcome.error_type(), Some("cut_off"));
    assert!(outcome.is_server_error() && !outcome.failed_after_head());

    for (frames, ending) in [(1, Ending::CutOff), (3, Ending::Complete)] {
        let record = Record::new();
        let streamed = app(&record).oneshot(request(Method::GET, "/stream"));
        let mut body = streamed.await.unwrap().into_body();
        for _ in 0..frames {
            body.frame().await;
        }
        ops_http::cut_off(move || drop(body));
        let outcome = record.only();
        assert_eq!((outcome.ending, outcome.status), (ending, 200));
        assert_eq!(outcome.failed_after_head(), ending == Ending::CutOff);
    }
}

#[test]
fn a_client_that_goes_away_before_the_head_is_aborted() {
    let record = Record::new();
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
    let record = Record::new();
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

/// Returns the outcome of a response that is polled `polls` times and then dropped.
async fn outcome_of(
    method: Method,
    head: http::response::Builder,
    script: Script,
    polls: usize,
) -> Outcome {
    let record = Record::new();
    let response = Mutex::new(Some(head.body(script).unwrap()));
    let service = tower::service_fn(|_: Request<Body>| {
        let response = response.lock().unwrap().take().unwrap();
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let service = tower::Layer::layer(&ObserveLayer::new(record.clone()), service);
    let response = service.oneshot(request(method, "/")).await.unwrap();
    let mut body = Box::pin(response.into_body());
    for _ in 0..polls {
        let polled = AssertUnwindSafe(|| {
            let mut cx = Context::from_waker(Waker::noop());
            drop(http_body::Body::poll_frame(body.as_mut(), &mut cx));
        });
        drop(catch_unwind(polled));
    }
    drop(body);
    record.only()
}

fn data(text: &'static str) -> Step {
    Step::Data(Bytes::from_static(text.as_bytes()))
}

#[tokio::test]
async fn a_body_is_complete_by_the_length_of_its_head_and_failed_if_it_is_shorter() {
    use Ending::{Aborted, Complete, Failed, Panicked};
    let head = |length: &str| Response::builder().header("content-length", length);
    let plain = || Response::builder();
    let five = || Script::new([data("he"), data("llo"), data("!")]);
    let reporting_last = |script: Script| Script {
        reports_last: true,
        ..script
    };
    let claimed = |exact: u64, script: Script| Script {
        exact: Some(exact),
        ..script
    };
    let trailers = || Script::new([data("hello"), Step::Trailers]);
    let events = || plain().header("content-type", "Text/Event-Stream ; charset=utf-8");
    let table = [
        (
            "every byte, and no more polls",
            head("5"),
            five(),
            2,
            Complete,
        ),
        ("more than the length", head("4"), five(), 2, Complete),
        (
            "a length that is declared twice",
            head("5").header("content-length", "05"),
            five(),
            2,
            Complete,
        ),
        ("a byte is missing", head("6"), five(), 2, Aborted),
        ("nothing was asked for", head("5"), five(), 0, Aborted),
        ("shorter than the length", head("7"), five(), 4, Failed),
        (
            "shorter, known with the last frame",
            head("7"),
            reporting_last(five()),
            3,
            Failed,
        ),
        ("shorter, with trailers", head("7"), trailers(), 2, Failed),
        ("a length of zero", head("0"), five(), 0, Complete),
        (
            "the body knows its length",
            plain(),
            claimed(5, five()),
            2,
            Complete,
        ),
        (
            "and was dropped before",
            plain(),
            claimed(5, five()),
            1,
            Aborted,
        ),
        ("and is shorter", plain(), claimed(7, five()), 4, Failed),
        (
            "and the head declares more",
            head("7"),
            claimed(5, five()),
            2,
            Failed,
        ),
        (
            "and the head declares less",
            head("4"),
            claimed(5, five()),
            2,
            Failed,
        ),
        (
            "and the head declares no number",
            head("+5"),
            claimed(5, five()),
            2,
            Failed,
        ),
        (
            "and is empty, whatever the head declares",
            head("5"),
            reporting_last(claimed(0, Script::new([]))),
            0,
            Complete,
        ),
        (
            "no length: dropped after the last frame",
            plain(),
            five(),
            3,
            Aborted,
        ),
        ("no length: polled to the end", plain(), five(), 4, Complete),
        (
            "no length: known with the last frame",
            plain(),
            reporting_last(five()),
            3,
            Complete,
        ),
        (
            "no length: trailers are the end",
            plain(),
            trailers(),
            2,
            Complete,
        ),
        (
            "empty, and says so",
            plain(),
            reporting_last(Script::new([])),
            0,
            Complete,
        ),
        (
            "empty, and says so against its length",
            head("5"),
            reporting_last(Script::new([])),
            0,
            Failed,
        ),
        (
            "an error",
            plain(),
            Script::new([data("x"), Step::Fail]),
            2,
            Failed,
        ),
        (
            "an error after the last byte",
            head("1"),
            Script::new([data("x"), Step::Fail]),
            1,
            Complete,
        ),
        (
            "an error that was seen after it",
            head("1"),
            Script::new([data("x"), Step::Fail]),
            2,
            Failed,
        ),
        (
            "a panic",
            plain(),
            Script::new([data("x"), Step::Panic]),
            2,
            Panicked,
        ),
        (
            "a panic that somebody polls on after",
            plain(),
            Script::new([Step::Panic]),
            2,
            Panicked,
        ),
        (
            "an event stream that is left",
            events(),
            Script::new([data("x"), Step::Hang]),
            2,
            Complete,
        ),
        (
            "an event stream that is left at once",
            events(),
            Script::new([Step::Hang]),
            0,
            Complete,
        ),
        (
            "an event stream that fails",
            events(),
            Script::new([Step::Fail]),
            1,
            Failed,
        ),
        (
            "an event stream with a length",
            events().header("content-length", "9"),
            five(),
            1,
            Aborted,
        ),
        (
            "a switch of protocols",
            plain().status(101),
            Script::new([Step::Hang]),
            0,
            Complete,
        ),
        (
            "not modified, with a length",
            head("5").status(304),
            Script::new([]),
            0,
            Complete,
        ),
    ];
    for (name, head, script, polls, ending) in table {
        let outcome = outcome_of(Method::GET, head, script, polls).await;
        assert_eq!(outcome.ending, ending, "{name}");
        let sent = outcome.sent_status.unwrap();
        let expected = if ending == Aborted { 499 } else { sent };
        assert_eq!(outcome.status, expected, "{name}");
        assert_eq!(
            outcome.failed_after_head(),
            matches!(ending, Failed | Panicked),
            "{name}"
        );
    }
    for (method, status) in [(Method::HEAD, 200), (Method::CONNECT, 200)] {
        let outcome = outcome_of(method, head("5").status(status), five(), 0).await;
        assert_eq!((outcome.ending, outcome.streamed), (Complete, false));
    }
    // a router adds the length of the body, and the server refuses both headers together
    let coded = |polls| {
        let head = plain().header("transfer-encoding", "chunked");
        outcome_of(Method::GET, head, claimed(5, five()), polls)
    };
    for (polls, ending, status) in [(0, Failed, 500), (1, Aborted, 499), (2, Complete, 200)] {
        let outcome = coded(polls).await;
        assert_eq!((outcome.ending, outcome.status), (ending, status));
    }
    let refused = outcome_of(Method::CONNECT, head("5").status(403), five(), 0).await;
    assert_eq!(refused.ending, Aborted);
}

#[tokio::test]
async fn a_body_is_streamed_if_its_head_has_no_length() {
    let plain = || Response::builder();
    let known = plain().header("content-length", "1");
    let script = || Script::new([data("x")]);
    let exact = Script {
        exact: Some(1),
        ..script()
    };
    for (head, script, streamed) in [
        (known, script(), false),
        (plain(), exact, false),
        (plain(), script(), true),
    ] {
        let outcome = outcome_of(Method::GET, head, script, 2).await;
        assert_eq!(outcome.streamed, streamed);
        assert_eq!(outcome.body_bytes, 1);
    }
}

#[tokio::test]
async fn a_failure_before_the_head_is_500_and_one_after_it_keeps_the_status() {
    let error_type = |outcome: &Outcome| (outcome.status, outcome.error_type());
    let failing = || Script::new([Step::Fail]);
    let after = outcome_of(Method::GET, Response::builder().status(206), failing(), 1).await;
    assert_eq!(error_type(&after), (206, Some("body_error")));
    assert!(after.is_server_error());
    let panicking = Script::new([Step::Panic]);
    let after = outcome_of(Method::GET, Response::builder(), panicking, 1).await;
    assert_eq!(error_type(&after), (200, Some("panic")));

    let record = Record::new();
    let service = tower::service_fn(|_: Request<Body>| async { Err::<Response<Body>, _>("no") });
    let service = tower::Layer::layer(&ObserveLayer::new(record.clone()), service);
    assert!(service.oneshot(request(Method::GET, "/")).await.is_err());
    let before = record.only();
    assert_eq!(error_type(&before), (500, Some("service_error")));
    assert_eq!(
        (before.sent_status, before.failed_after_head()),
        (None, false)
    );
}

/// Panics at the end of each request.
#[derive(Clone)]
struct PanicsAtEnd;

impl Observe for PanicsAtEnd {
    type Scope = ();
    type Entered<'a> = ();
    fn start(&self, _: &mut http::request::Parts) {}
    fn enter<'a>(&'a self, (): &'a mut ()) {}
    fn response(&self, (): &mut (), _: &mut http::response::Parts) {}
    fn end(&self, (): (), _: &Outcome) {
        std::panic::resume_unwind(Box::new("on purpose"));
    }
}

#[tokio::test]
async fn an_observer_that_panics_at_the_end_neither_aborts_the_process_nor_silences_the_next_one() {
    let record = Record::new();
    let app = Router::new()
        .route(
            "/panic",
            get(|| async { std::panic::resume_unwind(Box::new("handler")) as () }),
        )
        .layer(ObserveLayer::new((PanicsAtEnd, record.clone())))
        .layer(ObserveLayer::new(PanicsAtEnd));
    let task = tokio::spawn(app.oneshot(request(Method::GET, "/panic")));
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!(record.only().ending, Ending::Panicked);
}

/// Body that reports its last frame, and records the scope in which it is dropped.
struct LastFrameBody {
    frames: Vec<&'static str>,
    dropped: Arc<Mutex<Vec<u32>>>,
}

impl Drop for LastFrameBody {
    fn drop(&mut self) {
        self.dropped.lock().unwrap().push(inside());
    }
}

impl http_body::Body for LastFrameBody {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        let frame = self.frames.pop().map(|text| match text {
            "error" => Err(text),
            text => Ok(Frame::data(Bytes::from(text))),
        });
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty()
    }
}

/// Responds with these frames, last one first.
async fn respond_with_frames(
    record: &Record,
    frames: Vec<&'static str>,
) -> (impl http_body::Body, Arc<Mutex<Vec<u32>>>) {
    let dropped = Arc::default();
    let body = Mutex::new(Some(LastFrameBody {
        frames,
        dropped: Arc::clone(&dropped),
    }));
    let service = tower::service_fn(|_: Request<Body>| {
        let body = body.lock().unwrap().take().unwrap();
        async { Ok::<_, Infallible>(Response::new(body)) }
    });
    let service = tower::Layer::layer(&ObserveLayer::new(record.clone()), service);
    let answer = service.oneshot(request(Method::GET, "/")).await.unwrap();
    (answer.into_body(), dropped)
}

#[tokio::test]
async fn a_body_is_dropped_with_its_last_frame() {
    let record = Record::new();
    let (body, dropped) = respond_with_frames(&record, vec!["b", "a"]).await;
    let mut body = pin!(body);
    assert!(body.frame().await.is_some());
    assert!(dropped.lock().unwrap().is_empty());
    assert!(body.frame().await.is_some());
    assert_eq!(*dropped.lock().unwrap(), [1], "in the scope of the request");
    assert!(body.is_end_stream() && body.size_hint().exact() == Some(0));
    assert!(!record.has_ended());
    assert!(body.frame().await.is_none());
    let outcome = record.only();
    assert_eq!((outcome.ending, outcome.body_bytes), (Ending::Complete, 2));
    assert!(body.frame().await.is_none());
    assert!(!record.has_ended() && dropped.lock().unwrap().len() == 1);
}

#[tokio::test]
async fn a_body_is_polled_again_after_an_error() {
    let record = Record::new();
    let (body, dropped) = respond_with_frames(&record, vec!["b", "error", "a"]).await;
    let mut body = pin!(body);
    for is_error in [false, true, false] {
        assert_eq!(body.frame().await.unwrap().is_err(), is_error);
    }
    assert!(body.frame().await.is_none());
    assert_eq!(record.only().ending, Ending::Failed);
    assert_eq!(dropped.lock().unwrap().len(), 1);
}
