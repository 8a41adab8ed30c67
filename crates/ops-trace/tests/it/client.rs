//! Requests that a real client sends to a real server.

use std::io::{Read, Write};

use axum::body::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use ops_http::{ClientLayer, ClientService, Route};
use ops_trace::http::{ClientSpans, ResendCount};
use ops_trace::testing::{Collector, ReceivedSpan};
use ops_trace::{Tracer, span};
use tower::{Layer, Service, ServiceExt};

use crate::config;
use crate::served::{Served, app, spans};

type Connected = ClientService<Client<HttpConnector, Empty<Bytes>>, ClientSpans>;

fn client(tracer: &Tracer) -> Connected {
    let client = Client::builder(TokioExecutor::new()).build_http();
    ClientLayer::new(ClientSpans::new().handle(tracer.handle())).layer(client)
}

fn tracing(host: Option<&str>) -> (Collector, Tracer) {
    let collector = Collector::start().unwrap();
    let mut config = config(&collector.endpoint());
    if let Some(host) = host {
        config = config.propagate_to(host);
    }
    (collector, Tracer::new(config).unwrap())
}

fn get(url: &str) -> Request<Empty<Bytes>> {
    Request::get(url).body(Empty::new()).unwrap()
}

async fn fetch(client: &Connected, request: Request<Empty<Bytes>>) -> (StatusCode, Bytes) {
    let response = client.clone().oneshot(request).await.unwrap();
    let status = response.status();
    (
        status,
        response.into_body().collect().await.unwrap().to_bytes(),
    )
}

fn sent(tracer: &Tracer, collector: &Collector) -> Vec<ReceivedSpan> {
    tracer.flush();
    let spans = collector.spans();
    spans
        .into_iter()
        .filter(|span| span.kind == "client")
        .collect()
}

#[tokio::test]
async fn a_request_is_a_client_span_between_the_current_one_and_the_server_of_a_known_host() {
    let (collector, tracer) = tracing(Some("127.0.0.1"));
    let server = Served::start(app(spans(tracer.handle()))).await;
    let client = client(&tracer);
    let url = format!(
        "http://user:pw@{}/users/7;sid=abc?page=2&token=abc",
        server.address()
    );
    let mut request = get(&url);
    request.extensions_mut().insert(Route::new("/users/{id}"));
    let work = span!(tracer: tracer, "work");
    let outer = work.ids().unwrap();
    let (status, body) = work.instrument(fetch(&client, request)).await;
    assert_eq!((status, &body[..]), (StatusCode::OK, &b"user"[..]));
    let sent = sent(&tracer, &collector);
    let [span] = &sent[..] else {
        panic!("{sent:#?}")
    };
    assert_eq!(span.name, "GET /users/{id}");
    assert_eq!(span.trace_id, hex(&outer.trace_id));
    assert_eq!(span.parent_span_id, hex(&outer.span_id));
    let port = server.address().port().to_string();
    let full = format!(
        "http://REDACTED:REDACTED@127.0.0.1:{port}/users/7;sid=REDACTED?page=2&token=REDACTED"
    );
    for (key, value) in [
        ("http.request.method", "GET"),
        ("server.address", "127.0.0.1"),
        ("server.port", &port),
        ("url.full", &full),
        ("url.template", "/users/{id}"),
        ("http.response.status_code", "200"),
        ("network.protocol.version", "1.1"),
    ] {
        assert_eq!(span.attribute(key), Some(value), "{span:#?}");
    }
    assert!(!span.error && span.attribute("http.request.resend_count").is_none());
    let spans = collector.spans();
    let served = spans.iter().find(|span| span.kind == "server").unwrap();
    assert_eq!(served.parent_span_id, span.span_id);
    assert_eq!(served.trace_id, span.trace_id);
}

#[tokio::test]
async fn other_hosts_do_not_see_the_trace() {
    let (collector, tracer) = tracing(Some("orders.internal"));
    let server = Served::start(app(spans(tracer.handle()))).await;
    let url = format!("http://{}/users/7", server.address());
    fetch(&client(&tracer), get(&url)).await;
    let sent = sent(&tracer, &collector);
    let spans = collector.spans();
    let served = spans.iter().find(|span| span.kind == "server").unwrap();
    assert_ne!(served.trace_id, sent[0].trace_id);
    assert!(served.links.is_empty());
}

#[tokio::test]
async fn statuses_from_400_on_are_errors_of_the_client() {
    let (collector, tracer) = tracing(None);
    let server = Served::start(app(spans(tracer.handle()))).await;
    for path in ["missing", "fails"] {
        let url = format!("http://{}/{path}", server.address());
        fetch(&client(&tracer), get(&url)).await;
    }
    let kinds: Vec<(bool, Option<String>)> = sent(&tracer, &collector)
        .iter()
        .map(|span| (span.error, span.attribute("error.type").map(str::to_owned)))
        .collect();
    let expected = ["404", "502"].map(|kind| (true, Some(kind.to_owned())));
    assert_eq!(kinds, expected);
}

#[tokio::test]
async fn failures_have_their_kind() {
    let (collector, tracer) = tracing(None);
    let client = client(&tracer);
    // nobody listens
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}/", free.local_addr().unwrap());
    drop(free);
    client.clone().oneshot(get(&nobody)).await.unwrap_err();
    // the response breaks off
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let short = format!("http://{}/", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        drop(stream.read(&mut [0; 1024]));
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
        stream.write_all(head).unwrap();
    });
    let response = client.clone().oneshot(get(&short)).await.unwrap();
    response.into_body().collect().await.unwrap_err();
    server.join().unwrap();
    // the caller does not wait
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}/", listener.local_addr().unwrap());
    let waiting = client.clone().oneshot(get(&silent));
    tokio::select! {
        biased;
        _ = waiting => panic!("nobody answers"),
        () = std::future::ready(()) => {}
    }
    let sent = sent(&tracer, &collector);
    let kinds: Vec<_> = sent
        .iter()
        .map(|span| span.attribute("error.type"))
        .collect();
    let expected = ["connection_refused", "body_error", "cancelled"].map(Some);
    assert_eq!(kinds, expected, "{sent:#?}");
    assert_eq!(sent[1].attribute("http.response.status_code"), Some("200"));
    assert!(sent.iter().all(|span| span.error));
}

#[tokio::test]
async fn retries_are_counted_and_a_span_ends_with_the_body() {
    let (collector, tracer) = tracing(None);
    let server = Served::start(app(spans(tracer.handle()))).await;
    let client = client(&tracer);
    let mut request = get(&format!("http://{}/users/7", server.address()));
    request.extensions_mut().insert(ResendCount::new());
    for _ in 0..3 {
        fetch(&client, request.clone()).await; // as a retry layer does
    }
    let counts: Vec<_> = sent(&tracer, &collector)
        .iter()
        .map(|span| {
            span.attribute("http.request.resend_count")
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(counts, [None, Some("1".to_owned()), Some("2".to_owned())]);

    let response = client.clone().oneshot(request).await.unwrap();
    assert_eq!(sent(&tracer, &collector).len(), 3);
    drop(response); // unread, which is not an error
    let sent = sent(&tracer, &collector);
    assert_eq!(sent.len(), 4);
    assert!(!sent[3].error, "{:#?}", sent[3]);
}

#[tokio::test]
async fn a_client_that_fails_otherwise_is_named_by_its_error() {
    #[derive(Debug)]
    struct PoolExhausted;
    impl std::fmt::Display for PoolExhausted {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("no connection is free")
        }
    }
    impl std::error::Error for PoolExhausted {}

    let (collector, tracer) = tracing(None);
    let client = tower::service_fn(|_: Request<Empty<Bytes>>| async {
        Err::<http::Response<Empty<Bytes>>, _>(PoolExhausted)
    });
    let layer = ClientLayer::new(ClientSpans::new().handle(tracer.handle()));
    layer
        .layer(client)
        .call(get("http://shop.example/"))
        .await
        .unwrap_err();
    let sent = sent(&tracer, &collector);
    let kind = sent[0].attribute("error.type").unwrap();
    assert!(kind.ends_with("PoolExhausted"), "{kind}");
    assert_eq!(sent[0].attribute("server.port"), Some("80"));
}

#[tokio::test]
async fn an_error_of_the_operating_system_is_named_whatever_kind_the_library_gives_it() {
    use std::io::{Error, ErrorKind};
    use std::net::ToSocketAddrs;

    #[derive(Debug)]
    struct Connecting(Error);
    impl std::fmt::Display for Connecting {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("cannot connect")
        }
    }
    impl std::error::Error for Connecting {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }

    // too long for a name: no server is queried
    let no_name = ("a".repeat(300).as_str(), 80).to_socket_addrs().err();
    for (error, name) in [
        (Error::from_raw_os_error(24), "too_many_open_files"),
        (Error::from_raw_os_error(23), "too_many_open_files"),
        (ErrorKind::NetworkDown.into(), "network_down"),
        (ErrorKind::PermissionDenied.into(), "permission_denied"),
        (no_name.unwrap(), "host_not_found"),
        (Error::other("no idea"), "Connecting"),
        (Error::from_raw_os_error(5), "Connecting"),
    ] {
        let (collector, tracer) = tracing(None);
        let error = std::cell::Cell::new(Some(error));
        let client = tower::service_fn(|_: Request<Empty<Bytes>>| {
            std::future::ready(Err::<http::Response<Empty<Bytes>>, _>(Connecting(
                error.take().unwrap(),
            )))
        });
        let layer = ClientLayer::new(ClientSpans::new().handle(tracer.handle()));
        let request = get("http://shop.example/");
        layer.layer(client).call(request).await.unwrap_err();
        let sent = sent(&tracer, &collector);
        let kind = sent[0].attribute("error.type").unwrap();
        assert!(kind.ends_with(name), "{kind} instead of {name}");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_request_about_telemetry_leaves_the_span_around_it_alone() {
    use opentelemetry::Context;

    let (collector, tracer) = tracing(None);
    let server = Served::start(app(spans(tracer.handle()))).await;
    let mut client = client(&tracer);
    let url = format!("http://{}/missing", server.address());
    let work = span!(tracer: tracer, "work");
    let sending = work.enter();
    let suppressed = Context::enter_telemetry_suppressed_scope();
    let request = client.call(get(&url));
    drop(suppressed);
    drop(sending);
    let response = request.await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    response.into_body().collect().await.unwrap();
    work.set_attribute("goes", "on");
    drop(work);
    assert!(sent(&tracer, &collector).is_empty());
    let spans = collector.spans();
    let work = spans.iter().find(|span| span.name == "work").unwrap();
    assert!(!work.error, "{work:#?}");
    assert_eq!(work.attribute("goes"), Some("on"));
    assert_eq!(work.attribute("http.response.status_code"), None);
}
