use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Method, Request, Response};
use axum::routing::get;
use http_body_util::BodyExt;
use ops_http::{Ending, Observe, Outcome};
use ops_trace::axum::instrument_axum_with;
use ops_trace::http::{ClientSpans, ServerSpans};
use tower::ServiceExt;

use crate::served::{Served, app, body, header, spans};
use crate::{assert_within, traced};

#[test]
fn spans_last_as_long_as_their_requests_whatever_the_clock_says() {
    let (collector, tracer) = traced();
    let server = spans(tracer.handle());
    let client = ClientSpans::new().handle(tracer.handle());
    // measured by the wall clock, they would end at once
    let hour = Duration::from_secs(3600);
    for kind in ["text/plain", "application/grpc"] {
        let request = Request::post("http://shop.example/a").header("content-type", kind);
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let ended = Outcome::new(Method::POST, None, 200, Ending::Complete, hour);
        let scope = server.start(&mut parts);
        server.end(scope, &ended);
        let scope = client.start(&mut parts);
        client.end(scope, &ended);
    }
    tracer.flush();
    let ended = collector.spans();
    assert_eq!(ended.len(), 4);
    for span in ended {
        assert_eq!(span.duration, hour, "{} ({})", span.name, span.kind);
    }
}

#[test]
fn a_peer_at_a_socket_for_both_versions_has_its_own_address() {
    let (collector, tracer) = traced();
    let server = ServerSpans::new().handle(tracer.handle());
    let server = server.peer(|_| "::ffff:203.0.113.9".parse().ok());
    let server = server.client_attributes(true);
    let request = Request::get("/").body(()).unwrap();
    let scope = server.start(&mut request.into_parts().0);
    server.end(
        scope,
        &Outcome::new(Method::GET, None, 200, Ending::Complete, Duration::ZERO),
    );
    tracer.flush();
    let address = &collector.spans()[0];
    assert_eq!(address.attribute("client.address"), Some("203.0.113.9"));
}

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
    let common = "url.scheme=http network.protocol.version=1.1";
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
            "HTTP /users/{{id}} (server) http.request.method=_OTHER http.request.method_original=PROPFIND url.path=/users/7 {common} {server} http.route=/users/{{id}} http.response.status_code=405\n"
        ),
        line(
            "HTTP (server)",
            "GET",
            "/nobody/knows/this",
            &format!(" {server} http.response.status_code=404"),
        ),
        line(
            "DELETE /users/{id} (server)",
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
    for path in ops_http::QUIET_ROUTES {
        served.send(&format!("GET {path}"), &[]).await;
    }
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
async fn the_client_is_recorded_only_if_enabled() {
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

/// A body of unknown length.
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
        ("shop.example:", Some("shop.example"), None),
        ("[::1]:", Some("[::1]"), None),
        ("shop.example:+80", None, None),
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

#[tokio::test]
async fn query_is_a_known_method_and_others_are_other() {
    let (collector, tracer) = traced();
    let served = Served::start(app(spans(tracer.handle()))).await;
    for (method, name) in [("QUERY", "QUERY"), ("query", "_OTHER"), ("PURGE", "_OTHER")] {
        served.send(&format!("{method} /users/7"), &[]).await;
        tracer.flush();
        let span = collector.take_spans().pop().unwrap();
        assert_eq!(span.attribute("http.request.method"), Some(name));
        let original = (name == "_OTHER").then_some(method);
        assert_eq!(span.attribute("http.request.method_original"), original);
    }
}

#[tokio::test]
async fn values_of_credentials_are_not_recorded_however_their_key_is_written() {
    let (collector, tracer) = traced();
    let app = app(spans(tracer.handle()));
    let secret = [
        "pwd=S",
        "PWD=S",
        "p%77d=S",
        "auth=S",
        "code=S",
        "X-Amz-Signature=S",
        "x-amz-signature=S",
        "X%2DAmz%2DSignature=S",
        "X-Amz-Credential=S",
        "X-Amz-Security-Token=S",
        "AWSAccessKeyId=S",
        "X-Goog-Signature=S",
        "X-Goog-Credential=S",
        "GoogleAccessId=S",
        "Key-Pair-Id=S",
        "sig=S",
        "access_token=S",
        "accessToken=S",
        "id_token=S",
        "refresh-token=S",
        "client_secret=S",
        "clientSecret=S",
        "client_assertion=S",
        "code_verifier=S",
        "device_code=S",
        "SAMLResponse=S",
        "ticket=S",
        "passwd=S",
        "password=S",
        "new_password_2=S",
        "user[password]=S",
        "user[pwd]=S",
        "user%5Bpwd%5D=S",
        "login.pass=S",
        "user_pwd=S",
        "user_session_id=S",
        "my_jwt=S",
        "proxy_authorization=S",
        "aws_access_key=S",
        "db_pass=S",
        "userPass2=S",
        "api_key=S",
        "apiKey=S",
        "api-key=S",
        "x-api-key=S",
        "subscription-key=S",
        "Ocp-Apim-Subscription-Key=S",
        "key=S",
        "jwt=S",
        "session_id=S",
        "sid=S",
        "JSESSIONID=S",
        "csrf_token=S",
        "otp=S",
        "private_key=S",
        "secret=S",
        "credentials=S",
        "token=S",
        "token=S=S",
        "token=%53;S",
        "a=1;token=S",
        "next=/in?token=S",
        "next=https%3A%2F%2Fx%2F%3Ftoken%3DS",
        "state=a%26access_token%3DS",
        "token[]=S",
        "token_2=S",
        "accessToken1=S",
        "user[pwd2]=S",
        "user[code][0]=S",
        "user[code]2=S",
        "login.otp.10=S",
        "passcode=S",
        "auth_code=S",
        "verification-code=S",
        "oauth_verifier=S",
        "signing_key=S",
        "AccountKey=S",
        "dsn=S",
        "sign=S",
        "hdnts=S",
        "license_key=S",
        "shared_key=S",
        "oobCode=S",
        "passkey=S",
        "sessid=S",
        "flag;sig=S",
        "flag%3Bsig=S",
        "https://x.example/?sig=S",
        "https://x.example/%23code=S",
        "/in?a=1;pin=S",
        "next=https%253A%252F%252Fx%252F%253Ftoken%253DS",
        "next=%2Fin%3Fto%3Dhttps%25253A%25252F%25252Fx%25252F%25253Fsig%25253DS",
        "next=https://u:S@x/",
        "next=https://S@x/",
        "next=HTTPS%3A%2F%2Fu%3AS%40x%2F",
        "db=postgres://u:S/S@x/db",
        "db=redis://[u:S/S@x",
        "next=https://u:S&S@x/",
        "next=https://u:S&S=S&S/S@x/",
        "variables=%7B%22user%22:%7B%22pwd%22:%22S%22%7D%7D",
        "variables=%7B%22user%22%3A%22a%22%2C%22pin%22%20%3A%201%7D",
        "body=%22%7B%5C%22pin%5C%22:%5C%22S%5C%22%7D%22",
    ];
    let whole = [
        "https%3A%2F%2Fx%2F%3Ftoken%3DS",
        "https%3A%2F%2Fx%2F%3Ftoken%3DS%26page=2",
        "https%3A%2F%2Fu%3AS%40x%2F%3Fpage=2",
        "https://u:S@x/",
        "https://u:S@x/?page=2",
        "https://u:S@x/?token=S",
        "https://u:S=S@x/y",
        "https://u:pass=S@x/y",
        "https://u:12=S@x/y",
        "https://u:S&S@x/",
        "https://u:12&S@x/",
        "https://S&S=S@x/",
        "https://S=@x/",
        "db://u:S&S@x/",
    ];
    let kept = [
        "q=S",
        "page=S",
        "zip_code=S",
        "country-code=S",
        "status_code=S",
        "sort_key=S",
        "max_tokens=S",
        "design=S",
        "monkey=S",
        "author=S",
        "authors=S",
        "codes=S",
        "passage=S",
        "signal=S",
        "a=1;b=S",
        "next=/in?page=S",
        "next=http://[::1]:8080/@S",
        "S",
        "S=",
        "=S",
        "%ZZ=S",
        "key",
        "compass=S",
        "bypass=S",
        "filter[bypass]=S",
        "item[page][0]=S",
        "item[2code]=S",
        "codes[0]=S",
        "2=S",
        "max_tokens_2=S",
        "page2=S",
        "barcode=S",
        "signs=S",
        "primary_key=S",
        "code;a=S",
        "https://x.example/code/?page=S",
        "next=https%253A%252F%252Fx%252F%253Fpage%253DS",
        "mail=a:b@x.example",
        "next=https://x:8080/@me",
        "next=https://x.example&mail=S@x.example",
        "next=https://x:8080/a&mail=S@x.example",
        "next=http://[::1]:8080&mail=S@x.example",
        "https://x.example/&mail=S@x.example",
        "https://x.example/?page=S&mail=S@x.example",
        "https://x:8080/?mail=S@x.example",
        "repo=ssh://git@x/y",
        "filter=%7B%22page%22:%22code%22%7D",
        "q=%22code%22",
        "q=code:404;a",
        "q=100%25%25%25",
    ];
    for (queries, redacted) in [(&secret[..], true), (&whole[..], true), (&kept[..], false)] {
        for query in queries {
            let uri = format!("/ids?first=1&{query}&last=2");
            let request = Request::get(uri).body(Body::empty()).unwrap();
            drop(app.clone().oneshot(request).await.unwrap());
            tracer.flush();
            let span = collector.take_spans().pop().unwrap();
            let recorded = span.attribute("url.query").unwrap();
            assert!(
                recorded.starts_with("first=1&") && recorded.ends_with("&last=2"),
                "{recorded}"
            );
            let key = query.split('=').next().unwrap();
            let expected = if whole.contains(query) {
                "first=1&REDACTED&last=2".to_owned()
            } else if redacted {
                format!("first=1&{key}=REDACTED&last=2")
            } else {
                format!("first=1&{query}&last=2")
            };
            assert_eq!(recorded, expected, "{query}");
        }
    }
}

#[test]
fn the_time_for_a_query_of_many_urls_grows_with_its_length_only() {
    let (_collector, tracer) = traced();
    let server = spans(tracer.handle());
    let took = |query: String| {
        let request = Request::get(format!("/?{query}")).body(()).unwrap();
        let (mut parts, ()) = request.into_parts();
        let started = Instant::now();
        let scope = server.start(&mut parts);
        let ended = Outcome::new(Method::GET, None, 200, Ending::Complete, Duration::ZERO);
        server.end(scope, &ended);
        started.elapsed()
    };
    for (pair, end) in [("a=x://&", ""), ("a=x://y&", "b=@")] {
        assert_within(Duration::from_nanos(1), || {
            let eight: Duration = (0..8).map(|_| took(pair.repeat(1000) + end)).sum();
            took(pair.repeat(8000) + end).saturating_sub(eight * 3 / 2)
        });
    }
}

#[tokio::test]
async fn credentials_that_are_parameters_of_a_path_are_not_recorded() {
    assert_recorded_paths(&[
        ("/cart;jsessionid=S", "/cart;jsessionid=REDACTED"),
        (
            "/a;v=1;JSESSIONID=S/b;page=2/c",
            "/a;v=1;JSESSIONID=REDACTED/b;page=2/c",
        ),
        ("/a;next=%2F%3Ftoken%3DS", "/a;next=REDACTED"),
        ("/token=S/;/;=/", "/token=S/;/;=/"),
    ])
    .await;
}

#[tokio::test]
async fn users_of_urls_that_are_part_of_a_path_are_not_recorded() {
    assert_recorded_paths(&[
        (
            "/get/https://bob:S@a.example/x",
            "/get/https://REDACTED@a.example/x",
        ),
        (
            "/get/https://S@a.example",
            "/get/https://REDACTED@a.example",
        ),
        (
            "/get/ftp://bob:S/S@a.example/x",
            "/get/ftp://REDACTED@a.example/x",
        ),
        (
            "/get;v=2;a=https://bob:S@a/b;token=S",
            "/get;v=2;a=https://REDACTED@a/b;token=REDACTED",
        ),
        (
            "/get/https%3A%2F%2Fbob%3AS%40a.example%2F/x",
            "/get/REDACTED/x",
        ),
        ("/get/https%3a%2f%2fbob:S@a.example/x", "/get/REDACTED/x"),
        (
            "/get/https%253A%252F%252Fbob%253AS%2540a.example",
            "/get/REDACTED",
        ),
        (
            "/get/https%3A//bob:S@a.example/x",
            "/get/https%3A//REDACTED@a.example/x",
        ),
        (
            "/get/https%3a//bob%3AS%40a.example/x",
            "/get/https%3a//REDACTED",
        ),
    ])
    .await;
    let harmless = [
        "/@scope/pkg",
        "/@scope%2Fpkg;v=1",
        "/get/https://a.example:8080/@user",
        "/get/https://[2001:db8::1]:80/@user",
        "/get/ssh://git@a.example/x",
        "/get/https%3A%2F%2Fa.example%2F%40user",
        "/get/https%3A//a.example:8080/%40user/@user",
        "//a%20b//bob@a.example",
        "/mail/bob%40a.example/100%/%zz/%F0%9F",
    ];
    assert_recorded_paths(&harmless.map(|path| (path, path))).await;
}

/// Sends requests for the first path of each pair, and compares the recorded path with the second one.
async fn assert_recorded_paths(paths: &[(&str, &str)]) {
    let (collector, tracer) = traced();
    let app = app(spans(tracer.handle()));
    for (path, recorded) in paths {
        let request = Request::get(*path).body(Body::empty()).unwrap();
        drop(app.clone().oneshot(request).await.unwrap());
        tracer.flush();
        let span = collector.take_spans().pop().unwrap();
        assert_eq!(span.attribute("url.path"), Some(*recorded));
    }
}

/// Returns server address, port, scheme and client of a request with these headers.
async fn described(
    app: &axum::Router,
    tracer: &ops_trace::Tracer,
    collector: &ops_trace::testing::Collector,
    headers: &[(&str, &str)],
) -> [Option<String>; 4] {
    let mut request = Request::get("/ids").header("host", "backend:8080");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    drop(app.clone().oneshot(request).await.unwrap());
    tracer.flush();
    let span = collector.take_spans().pop().unwrap();
    [
        "server.address",
        "server.port",
        "url.scheme",
        "client.address",
    ]
    .map(|key| span.attribute(key).map(str::to_owned))
}

fn by_proxy(_: &axum::http::Extensions) -> Option<std::net::IpAddr> {
    Some("10.0.0.1".parse().unwrap())
}

fn by_stranger(_: &axum::http::Extensions) -> Option<std::net::IpAddr> {
    Some("203.0.113.9".parse().unwrap())
}

#[tokio::test]
async fn trusted_proxies_report_the_clients_request() {
    let (collector, tracer) = traced();
    let spans = || spans(tracer.handle()).client_attributes(true);
    let app_of =
        |spans| instrument_axum_with(axum::Router::new().route("/ids", get(|| async {})), spans);
    let app = app_of(spans().peer(by_proxy));
    let plain = ["backend", "8080", "http", "10.0.0.1"];
    let client = "198.51.100.7";
    let list = |from: &str, to: usize| vec![from; to].join(",");
    let long = list("for=198.51.100.7", 300);
    type Row<'a> = (&'a [(&'a str, &'a str)], [&'a str; 4]);
    let table: &[Row<'_>] = &[
        (&[], plain),
        (
            &[(
                "forwarded",
                "for=198.51.100.7;proto=https;host=shop.example",
            )],
            ["shop.example", "", "https", client],
        ),
        (
            &[(
                "Forwarded",
                r#"For="[2001:db8::17]:4711";Proto=HTTPS;Host="shop.example:8443""#,
            )],
            ["shop.example", "8443", "https", "2001:db8::17"],
        ),
        // quoted, with separators inside, and escapes
        (
            &[(
                "forwarded",
                r#"secret="a,b;c=\"d";for=198.51.100.7 ; proto=https"#,
            )],
            ["backend", "8080", "https", client],
        ),
        // several elements, in one line or in two; the second proxy is trusted too
        (
            &[(
                "forwarded",
                "for=198.51.100.7;proto=https;host=shop.example, for=10.0.0.2;proto=http",
            )],
            ["shop.example", "", "https", client],
        ),
        (
            &[
                ("forwarded", "for=198.51.100.7;proto=https"),
                ("forwarded", "for=10.0.0.2;proto=http"),
            ],
            ["backend", "8080", "https", client],
        ),
        // an element that the client sent itself comes before an untrusted address
        (
            &[(
                "forwarded",
                "for=1.1.1.1;host=evil.example;proto=http, for=198.51.100.7;proto=https",
            )],
            ["backend", "8080", "https", client],
        ),
        (
            &[("forwarded", "for=unknown;proto=https")],
            ["backend", "8080", "https", "10.0.0.1"],
        ),
        (&[("forwarded", "for=_hidden, for=10.0.0.2")], plain),
        (
            &[("forwarded", r#"for="198.51.100.7:_port""#)],
            ["backend", "8080", "http", client],
        ),
        (
            &[("forwarded", " , for=198.51.100.7,, ")],
            ["backend", "8080", "http", client],
        ),
        // malformed: ignored
        (&[("forwarded", "for=[2001:db8::17];proto=https")], plain),
        (&[("forwarded", "for=198.51.100.7;for=1.1.1.1")], plain),
        (&[("forwarded", "for = 198.51.100.7")], plain),
        (&[("forwarded", "for=\"198.51.100.7")], plain),
        (&[("forwarded", "198.51.100.7")], plain),
        (&[("forwarded", "for=198.51.100.7 proto=https")], plain),
        (&[("forwarded", &long)], plain),
        (&[("forwarded", "proto=gopher;host=\"a b\"")], plain),
        // the `X-Forwarded` headers
        (
            &[
                ("x-forwarded-for", client),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "shop.example"),
            ],
            ["shop.example", "", "https", client],
        ),
        (
            &[
                ("x-forwarded-host", "shop.example"),
                ("x-forwarded-port", "8443"),
            ],
            ["shop.example", "8443", "http", "10.0.0.1"],
        ),
        (
            &[("x-forwarded-port", "443"), ("x-forwarded-proto", "https")],
            ["backend", "443", "https", "10.0.0.1"],
        ),
        (
            &[
                ("x-forwarded-for", "1.1.1.1, 198.51.100.7 , 10.0.0.3"),
                ("x-forwarded-proto", "http, https, http"),
            ],
            ["backend", "8080", "https", client],
        ),
        (
            &[
                ("x-forwarded-for", "198.51.100.7, 10.0.0.3"),
                ("x-forwarded-proto", "https"),
            ],
            ["backend", "8080", "https", client],
        ),
        (
            &[("x-forwarded-for", "198.51.100.7:4711")],
            ["backend", "8080", "http", client],
        ),
        (
            &[("x-forwarded-for", "[2001:db8::17]:4711")],
            ["backend", "8080", "http", "2001:db8::17"],
        ),
        (
            &[("x-forwarded-for", "::ffff:198.51.100.7")],
            ["backend", "8080", "http", client],
        ),
        (
            &[
                ("x-forwarded-for", "1.1.1.1,, 198.51.100.7,"),
                ("x-forwarded-for", ""),
                ("x-forwarded-for", "10.0.0.3 ,"),
                ("x-forwarded-proto", "http,https,,http,"),
                ("x-forwarded-host", ", shop.example"),
            ],
            ["shop.example", "", "https", client],
        ),
        (&[("x-forwarded-for", " , ")], plain),
        (&[("x-forwarded-for", "evil")], plain),
        (
            &[
                ("x-forwarded-proto", "javascript"),
                ("x-forwarded-port", "99999"),
            ],
            plain,
        ),
        // `Forwarded` wins, for each attribute separately
        (
            &[
                ("forwarded", "proto=https"),
                ("x-forwarded-proto", "http"),
                ("x-forwarded-for", client),
            ],
            ["backend", "8080", "https", client],
        ),
    ];
    for (headers, expected) in table {
        let found = described(&app, &tracer, &collector, headers).await;
        let found = found.map(Option::unwrap_or_default);
        assert_eq!(found, expected.map(str::to_owned), "{headers:?}");
    }

    let headers = [(
        "forwarded",
        "for=192.0.2.1;proto=https;host=shop.example, for=198.51.100.7",
    )];
    let strangers = spans().peer(by_stranger);
    let found = described(&app_of(strangers), &tracer, &collector, &headers).await;
    let untrusted = ["backend", "8080", "http", "203.0.113.9"].map(|text| Some(text.to_owned()));
    assert_eq!(found, untrusted, "a stranger tells nothing");
    let nobody = spans().peer(by_proxy).trust(ops_trace::http::Trust::Nobody);
    let found = described(&app_of(nobody), &tracer, &collector, &headers).await;
    assert_eq!(found[2].as_deref(), Some("http"));
    let everybody = spans()
        .peer(by_stranger)
        .trust(ops_trace::http::Trust::Everybody);
    let found = described(&app_of(everybody), &tracer, &collector, &headers).await;
    assert_eq!(
        (found[2].as_deref(), found[3].as_deref()),
        (Some("https"), Some("192.0.2.1"))
    );
}

#[tokio::test]
async fn the_version_of_the_protocol_is_recorded() {
    use axum::http::Version;
    let (collector, tracer) = traced();
    let app = app(spans(tracer.handle()));
    for (version, text) in [
        (Version::HTTP_10, "1.0"),
        (Version::HTTP_11, "1.1"),
        (Version::HTTP_2, "2"),
        (Version::HTTP_3, "3"),
    ] {
        let request = Request::get("/ids").version(version).body(Body::empty());
        drop(app.clone().oneshot(request.unwrap()).await.unwrap());
        tracer.flush();
        let span = collector.take_spans().pop().unwrap();
        assert_eq!(span.attribute("network.protocol.version"), Some(text));
    }
}

#[tokio::test]
async fn a_failure_after_the_head_keeps_the_status_and_an_event_stream_that_is_left_is_none() {
    let (collector, tracer) = traced();
    let response = |kind: &'static str, body| async move {
        Response::builder()
            .header("content-type", kind)
            .body(body)
            .unwrap()
    };
    let router = axum::Router::new()
        .route(
            "/fails",
            get(move || response("text/plain", Body::new(Broken(false)))),
        )
        .route(
            "/panics",
            get(move || response("text/plain", Body::new(Broken(true)))),
        )
        .route(
            "/left",
            get(move || response("text/plain", Body::new(Broken(false)))),
        )
        .route(
            "/events",
            get(move || response("text/event-stream", Body::new(Broken(false)))),
        );
    let router = instrument_axum_with(router, spans(tracer.handle()));
    for (path, polls, error_type) in [
        ("/fails", true, Some("body_error")),
        ("/panics", true, Some("panic")),
        ("/left", false, Some("client_disconnect")),
        ("/events", false, None),
    ] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        if polls {
            let read = tokio::spawn(answer.into_body().collect());
            assert!(!matches!(read.await, Ok(Ok(_))));
        } else {
            drop(answer);
        }
        tracer.flush();
        let span = collector.take_spans().pop().unwrap();
        assert_eq!(
            span.attribute("http.response.status_code"),
            Some("200"),
            "{path}"
        );
        assert_eq!(span.attribute("error.type"), error_type, "{path}");
        assert_eq!(span.error, error_type.is_some(), "{path}");
    }
}

/// A body that fails at once, or panics.
struct Broken(bool);

impl http_body::Body for Broken {
    type Data = bytes::Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        if self.0 {
            std::panic::resume_unwind(Box::new("on purpose"));
        }
        Poll::Ready(Some(Err(std::io::Error::other("the disk is gone"))))
    }
}

#[tokio::test]
async fn a_peer_that_nobody_finds_without_panicking_is_unknown() {
    let (collector, tracer) = traced();
    let peer = |_: &axum::http::Extensions| std::panic::resume_unwind(Box::new("on purpose"));
    let app = app(spans(tracer.handle()).peer(peer));
    let request = Request::get("/ids").body(Body::empty()).unwrap();
    assert_eq!(app.oneshot(request).await.unwrap().status(), 200);
    tracer.flush();
    assert_eq!(collector.spans().len(), 1);
}
