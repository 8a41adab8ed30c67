//! Files, compressed responses and event streams, sent by a real server.

use std::io::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use ops_http::{Ending, ObserveLayer};
use tokio::sync::Notify;
use tower_http::compression::CompressionLayer;
use tower_http::services::ServeFile;

use crate::record::Record;
use crate::script::{Script, Step};
use crate::server::Server;

fn chunks(count: usize, size: usize) -> impl Iterator<Item = Step> {
    let chunk = Bytes::from(vec![b'x'; size]);
    std::iter::repeat_n(Step::Data(chunk), count)
}

#[tokio::test]
async fn a_file_that_a_client_read_to_its_end_is_complete_and_the_connection_is_used_again() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&vec![b'x'; 300_000]).unwrap();
    let stream = || async {
        let body = Body::new(Script::new(chunks(3, 1000)));
        Response::builder()
            .header("content-length", "3000")
            .body(body)
            .unwrap()
    };
    let record = Record::new();
    let app = Router::new()
        .route_service("/file", ServeFile::new(file.path()))
        .route("/stream", get(stream))
        .layer(ObserveLayer::new(record.clone()));
    let server = Server::start(app).await;
    for http2 in [false, true] {
        let mut client = server.connect(http2).await;
        for (path, bytes) in [("/file", 300_000), ("/stream", 3000), ("/file", 300_000)] {
            let response = client.send(Request::get(path)).await.unwrap();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body.len(), bytes);
            let outcome = record.next().await;
            assert_eq!(
                (outcome.ending, outcome.status),
                (Ending::Complete, 200),
                "{path}"
            );
            assert_eq!(outcome.body_bytes, bytes as u64);
            assert!(!outcome.streamed);
        }
        let response = client.send(Request::head("/file")).await.unwrap();
        assert_eq!(response.headers()["content-length"], "300000");
        assert_eq!(record.next().await.ending, Ending::Complete);
        let part = Request::get("/file").header("range", "bytes=10-19");
        let response = client.send(part).await.unwrap();
        assert_eq!(
            response
                .into_body()
                .collect()
                .await
                .unwrap()
                .to_bytes()
                .len(),
            10
        );
        let outcome = record.next().await;
        assert_eq!((outcome.ending, outcome.status), (Ending::Complete, 206));
    }
}

#[tokio::test]
async fn a_compressed_answer_has_its_time_to_the_head_and_one_that_a_client_leaves_is_aborted() {
    let text = || async { "hello ".repeat(10_000) };
    let endless = || async {
        let steps = chunks(1, 100_000).chain([Step::Hang]);
        Body::new(Script::new(steps))
    };
    let record = Record::new();
    let app = Router::new()
        .route("/text", get(text))
        .route("/endless", get(endless))
        .layer(CompressionLayer::new())
        .layer(ObserveLayer::new(record.clone()));
    let server = Server::start(app).await;
    for http2 in [false, true] {
        let mut client = server.connect(http2).await;
        let gzip = |path| Request::get(path).header("accept-encoding", "gzip");
        let response = client.send(gzip("/text")).await.unwrap();
        assert_eq!(response.headers()["content-encoding"], "gzip");
        response.into_body().collect().await.unwrap();
        let outcome = record.next().await;
        assert_eq!((outcome.ending, outcome.streamed), (Ending::Complete, true));
        assert!(outcome.time_to_headers.unwrap() <= outcome.elapsed);

        let response = client.send(gzip("/endless")).await.unwrap();
        drop((response, client));
        let outcome = record.next().await;
        assert_eq!((outcome.ending, outcome.status), (Ending::Aborted, 499));
        assert_eq!(outcome.sent_status, Some(200));
    }
}

#[tokio::test]
async fn a_reader_that_closes_an_event_stream_ends_it() {
    let endless = |kind: &'static str| {
        get(move || async move {
            let steps = [Step::Data(Bytes::from_static(b"data: 1\n\n")), Step::Hang];
            let response = Response::builder().header("content-type", kind);
            response.body(Body::new(Script::new(steps))).unwrap()
        })
    };
    let record = Record::new();
    let app = Router::new()
        .route("/events", endless("text/event-stream"))
        .route(
            "/camera",
            endless("Multipart/X-Mixed-Replace; boundary=frame"),
        )
        .layer(ObserveLayer::new(record.clone()));
    let server = Server::start(app).await;
    for (path, http2) in [("/events", false), ("/events", true), ("/camera", false)] {
        let mut client = server.connect(http2).await;
        let response = client.send(Request::get(path)).await.unwrap();
        let mut body = response.into_body();
        assert!(body.frame().await.unwrap().unwrap().is_data());
        drop((body, client));
        let outcome = record.next().await;
        assert_eq!((outcome.ending, outcome.status), (Ending::Complete, 200));
        assert_eq!((outcome.streamed, outcome.error_type()), (true, None));
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_the_head_is_aborted() {
    let record = Record::new();
    let arrived = Arc::new(Notify::new());
    let arrives = arrived.clone();
    let hangs = || async move {
        arrives.notify_one();
        std::future::pending::<()>().await;
    };
    let app = Router::new()
        .route("/hangs", get(hangs))
        .layer(ObserveLayer::new(record.clone()));
    let server = Server::start(app).await;
    for http2 in [false, true] {
        let mut client = server.connect(http2).await;
        tokio::select! {
            _ = client.send(Request::get("/hangs")) => panic!("no head comes"),
            () = arrived.notified() => {}
        }
        drop(client);
        let outcome = record.next().await;
        assert_eq!((outcome.ending, outcome.status), (Ending::Aborted, 499));
        assert_eq!((outcome.sent_status, outcome.time_to_headers), (None, None));
    }
}

/// Responds with these headers, and with four bytes: of a known length, unless the headers declare one.
fn framed(headers: &'static [(&'static str, &'static str)]) -> axum::routing::MethodRouter {
    get(move || async move {
        let mut response = Response::builder();
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let declares = headers.iter().any(|(name, _)| *name == "content-length");
        let body = match declares {
            true => Body::new(Script::new(chunks(1, 4))),
            false => Body::from("four"),
        };
        response.body(body).unwrap()
    })
}

#[tokio::test]
async fn a_head_that_cannot_be_sent_is_a_failure_of_the_handler() {
    let stream = || async {
        let body = Body::new(Script::new(chunks(3, 10)));
        Response::builder()
            .header("content-length", "thirty")
            .body(body)
            .unwrap()
    };
    let record = Record::new();
    let app = Router::new()
        .route("/stream", get(stream))
        .route("/interim", get(|| async { StatusCode::PROCESSING }))
        .route("/switch", get(|| async { StatusCode::SWITCHING_PROTOCOLS }))
        .route(
            "/two-lengths",
            framed(&[("content-length", "4"), ("content-length", "5")]),
        )
        .route("/chunked", framed(&[("transfer-encoding", "chunked")]))
        .route(
            "/both",
            framed(&[("content-length", "4"), ("transfer-encoding", "chunked")]),
        )
        .layer(ObserveLayer::new(record.clone()));
    let server = Server::start(app).await;
    let table = [
        (true, "/stream", 200, "body_error"),
        (false, "/stream", 500, "service_error"),
        (true, "/interim", 500, "service_error"),
        (false, "/interim", 500, "service_error"),
        (true, "/switch", 500, "service_error"),
        (true, "/two-lengths", 200, "body_error"),
        (false, "/two-lengths", 500, "service_error"),
        (false, "/chunked", 500, "service_error"),
        (false, "/both", 500, "service_error"),
    ];
    for (http2, path, status, error_type) in table {
        let mut client = server.connect(http2).await;
        let body = match client.send(Request::get(path)).await {
            Ok(response) if response.status() == 500 => Err(None),
            Ok(response) => response.into_body().collect().await.map_err(Some),
            Err(error) => Err(Some(error)),
        };
        assert!(body.is_err(), "{path}: {body:?}");
        let outcome = record.next().await;
        let case = format!("{path}, {http2}: {outcome:?}");
        assert_eq!(outcome.ending, Ending::Failed, "{case}");
        assert_eq!(outcome.status, status, "{case}");
        assert_eq!(outcome.error_type(), Some(error_type), "{case}");
    }
}

#[tokio::test]
async fn http2_sends_the_length_beside_a_transfer_coding_and_what_is_longer_is_refused() {
    let record = Record::new();
    let long = || async {
        let response = Response::builder().header("content-length", "3");
        response.body(Body::new(Script::new(chunks(1, 4)))).unwrap()
    };
    let app = Router::new()
        .route("/chunked", framed(&[("transfer-encoding", "chunked")]))
        .route(
            "/both",
            framed(&[("transfer-encoding", "chunked"), ("content-length", "4")]),
        )
        .route("/long", get(long))
        .layer(ObserveLayer::new(record.clone()));
    let server = Server::start(app).await;
    let mut client = server.connect(true).await;
    for path in ["/chunked", "/both"] {
        let response = client.send(Request::get(path)).await.unwrap();
        assert_eq!(response.headers()["content-length"], "4");
        let body = response.into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes().len(), 4);
        let outcome = record.next().await;
        assert_eq!(outcome.ending, Ending::Complete, "{path}");
        assert!(!outcome.streamed, "{path}");
    }
    let response = client.send(Request::get("/long")).await.unwrap();
    assert!(response.into_body().collect().await.is_err());
    let outcome = record.next().await;
    assert_eq!((outcome.ending, outcome.status), (Ending::Failed, 200));
    // an HTTP/1 server leaves out what is too much
    let mut client = server.connect(false).await;
    let response = client.send(Request::get("/long")).await.unwrap();
    let body = response.into_body().collect().await.unwrap();
    assert_eq!(body.to_bytes().len(), 3);
    assert_eq!(record.next().await.ending, Ending::Complete);
}

/// A client that closed the connection cannot be distinguished from one that closed only its sending
/// half and still reads. The response was handed over, and in the second case the client receives it.
#[tokio::test]
async fn an_upload_that_breaks_off_is_answered_and_has_the_status_that_was_sent() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let record = Record::new();
    let app = Router::new()
        .route(
            "/upload",
            axum::routing::post(|body: Bytes| async move { body }),
        )
        .layer(ObserveLayer::new(record.clone()));
    let server = Server::start(app).await;
    for is_half_open in [true, false] {
        let mut client = tokio::net::TcpStream::connect(server.address)
            .await
            .unwrap();
        let head = b"POST /upload HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nfour";
        client.write_all(head).await.unwrap();
        if is_half_open {
            client.shutdown().await.unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            let answer = String::from_utf8_lossy(&answer).into_owned();
            println!("{answer}");
            assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        } else {
            drop(client);
        }
        let outcome = record.next().await;
        assert_eq!((outcome.ending, outcome.status), (Ending::Complete, 400));
    }
}
