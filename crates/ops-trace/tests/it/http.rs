use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use axum::routing::get;
use http_body_util::BodyExt;
use ops_trace::axum::instrument_axum_with;
use tower::ServiceExt;

use crate::served::{Served, app, body, header, spans};
use crate::traced;

#[tokio::test]
async fn spans_of_requests_follow_the_semantic_conventions() {
    let (collector, tracer) = traced();
    let served = Served::start(app(spans(tracer.handle()))).await;
    for request in [
        "GET /users/7?q=a&token=hunter2&X-Amz-Signature=hunter2&to%6ben=hunter2",
        "POST /users/7",
        "GET /api/items/3",
        "HEAD /users/7",
        "GET /missing",
        "GET /fails",
        "PROPFIND /users/7",
        "GET /nobody/knows/this",
        "DELETE /users/7",
    ] {
        served.send(request, &[]).await;
        tracer.flush();
    }
    let common = "url.scheme=http";
    let server = "server.address=shop.example server.port=8443";
    let line = |name: &str, method: &str, path: &str, rest: &str| {
        format!("{name} http.request.method={method} url.path={path} {common}{rest}\n")
    };
    let expected = [
        line(
            "GET /users/{id} (server)",
            "GET",
            "/users/7",
            &format!(
                " url.query=q=a&token=REDACTED&X-Amz-Signature=REDACTED&to%6ben=REDACTED {server} \
                 http.route=/users/{{id}} http.response.status_code=200"
            ),
        ),
        line(
            "POST /users/{id} (server)",
            "POST",
            "/users/7",
            &format!(" {server} http.route=/users/{{id}} http.response.status_code=200"),
        ),
        line(
            "GET /api/items/{item} (server)",
            "GET",
            "/api/items/3",
            &format!(" {server} http.route=/api/items/{{item}} http.response.status_code=200"),
        ),
        line(
            "HEAD /users/{id} (server)",
            "HEAD",
            "/users/7",
            &format!(" {server} http.route=/users/{{id}} http.response.status_code=200"),
        ),
        line(
            "GET /missing (server)",
            "GET",
            "/missing",
            &format!(" {server} http.route=/missing http.response.status_code=404"),
        ),
        line(
            "GET /fails (server) ERROR",
            "GET",
            "/fails",
            &format!(" {server} http.route=/fails http.response.status_code=502 error.type=502"),
        ),
        format!(
            "HTTP (server) http.request.method=_OTHER http.request.method_original=PROPFIND url.path=/users/7 {common} {server} http.route=/users/{{id}} http.response.status_code=405\n"
        ),
        line(
            "HTTP (server)",
            "GET",
            "/nobody/knows/this",
            &format!(" {server} http.response.status_code=404"),
        ),
        line(
            "HTTP (server)",
            "DELETE",
            "/users/7",
            &format!(" {server} http.route=/users/{{id}} http.response.status_code=405"),
        ),
    ];
    assert_eq!(collector.snapshot(), expected.concat());
    assert!(
        collector
            .spans()
            .iter()
            .all(|span| span.status_message.is_empty())
    );
}

#[tokio::test]
async fn quiet_paths_have_no_span_and_pass_the_trace_on() {
    let (collector, tracer) = traced();
    let served = Served::start(app(spans(tracer.handle()))).await;
    let answer = served.send("GET /healthz", &[]).await;
    assert_eq!(body(&answer), "no-trace");
    assert_eq!(header(&answer, "traceresponse"), None);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let answer = served
        .send("GET /healthz", &[("traceparent", parent)])
        .await;
    assert_eq!(body(&answer), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(header(&answer, "traceresponse"), None);
    tracer.flush();
    assert_eq!(collector.requests(), 0);
}

#[tokio::test]
async fn who_asks_is_recorded_only_when_asked_for() {
    let (collector, tracer) = traced();
    let agent = "x".repeat(300);
    for on in [false, true] {
        let spans = spans(tracer.handle()).client_attributes(on);
        let served = Served::start(app(spans)).await;
        served.send("GET /ids", &[("user-agent", &agent)]).await;
        tracer.flush();
    }
    let spans = collector.spans();
    assert_eq!(spans[0].attribute("client.address"), None);
    assert_eq!(spans[1].attribute("client.address"), Some("127.0.0.1"));
    let cut = format!("{}...(truncated)", "x".repeat(256));
    assert_eq!(spans[1].attribute("user_agent.original"), Some(&*cut));
}

#[tokio::test]
async fn a_span_ends_with_the_body_and_covers_what_the_body_does() {
    let (collector, tracer) = traced();
    let (send, receive) = tokio::sync::mpsc::channel(1);
    let frames = std::sync::Arc::new(std::sync::Mutex::new(Some(Frames(receive))));
    let answer = move || {
        let frames = frames.lock().unwrap().take().unwrap();
        async move { Response::new(Body::new(frames)) }
    };
    let router = axum::Router::new().route("/stream", get(answer));
    let router = instrument_axum_with(router, spans(tracer.handle()));
    let request = Request::get("/stream").body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    tracer.flush();
    assert_eq!(tracer.stats().ended_sampled, 0, "headers are not the end");
    let mut body = response.into_body();
    send.send("a").await.unwrap();
    body.frame().await.unwrap().unwrap();
    drop(send);
    assert!(body.frame().await.is_none());
    tracer.flush();
    let span = &collector.spans()[0];
    assert_eq!(span.name, "GET /stream");
    assert_eq!(span.attribute("http.response.streaming"), Some("true"));
}

/// A body whose length nobody knows.
struct Frames(tokio::sync::mpsc::Receiver<&'static str>);

impl http_body::Body for Frames {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        let text = self.0.poll_recv(cx);
        text.map(|text| text.map(|text| Ok(http_body::Frame::data(text.into()))))
    }
}

#[tokio::test]
async fn a_client_that_leaves_and_a_handler_that_panics_are_errors_with_their_kind() {
    let (collector, tracer) = traced();
    let served = Served::start(app(spans(tracer.handle()))).await;
    let answer = served.send("GET /panics", &[]).await;
    assert_eq!(answer, "", "the server closes without an answer");
    tracer.flush();

    let router = axum::Router::new().route("/waits", get(std::future::pending::<&'static str>));
    let router = instrument_axum_with(router, spans(tracer.handle()));
    let request = Request::get("/waits").body(Body::empty()).unwrap();
    let left = tokio::time::timeout(Duration::from_millis(1), router.oneshot(request)).await;
    assert!(left.is_err());
    tracer.flush();
    let spans = collector.spans();
    let ends: Vec<_> = spans
        .iter()
        .map(|s| (s.name.as_str(), s.error, s.attribute("error.type").unwrap()))
        .collect();
    assert_eq!(
        ends,
        [
            ("GET /panics", true, "panic"),
            ("GET /waits", true, "client_disconnect")
        ]
    );
}

#[tokio::test]
async fn a_route_that_only_the_answer_knows_names_the_span() {
    let (collector, tracer) = traced();
    let handler = || async { (axum::Extension(ops_http::Route::new("/inner/{id}")), "x") };
    for router in [
        axum::Router::new().route("/{*rest}", get(handler)),
        axum::Router::new().fallback(handler),
    ] {
        let router = instrument_axum_with(router, spans(tracer.handle()));
        let request = Request::get("/inner/1").body(Body::empty()).unwrap();
        let answer = router.oneshot(request).await.unwrap();
        answer.into_body().collect().await.unwrap();
    }
    tracer.flush();
    for span in collector.spans() {
        assert_eq!(span.name, "GET /inner/{id}");
        assert_eq!(span.attribute("http.route"), Some("/inner/{id}"));
    }
    assert_eq!(collector.spans().len(), 2);
}

#[tokio::test]
async fn the_servers_name_is_the_hosts_where_that_is_one() {
    let (collector, tracer) = traced();
    let app = app(spans(tracer.handle()));
    let table = [
        ("shop.example", Some("shop.example"), None),
        ("shop.example:8443", Some("shop.example"), Some("8443")),
        ("127.0.0.1:80", Some("127.0.0.1"), Some("80")),
        ("[::1]:80", Some("[::1]"), Some("80")),
        ("[::1]", Some("[::1]"), None),
        ("shop_1", Some("shop_1"), None),
        ("", None, None),
        (":80", None, None),
        ("shop.example:99999", None, None),
        ("shop.example:", None, None),
        ("user:hunter2@shop.example", None, None),
        ("[::1", None, None),
        ("[::1]x", None, None),
        ("a b", None, None),
        ("a/b", None, None),
    ];
    for (host, address, port) in table {
        let request = Request::get("/ids")
            .header("host", host)
            .body(Body::empty());
        drop(app.clone().oneshot(request.unwrap()).await.unwrap());
        tracer.flush();
        let span = collector.take_spans().pop().unwrap();
        let found = (
            span.attribute("server.address"),
            span.attribute("server.port"),
        );
        assert_eq!(found, (address, port), "{host}");
    }
}
