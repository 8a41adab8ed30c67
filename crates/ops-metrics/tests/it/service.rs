use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use ops_metrics::catalog::duckdb_query_total;
use ops_metrics::{CONTENT_TYPE, CONTENT_TYPE_OPEN_METRICS, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::{installed, rendered, value};

/// Timeout after which a response must have arrived.
const SOON: Duration = Duration::from_secs(60);

async fn asked(method: Method, headers: &[(&str, &str)]) -> Response<bytes::Bytes> {
    let mut request = Request::builder().method(method).uri("/metrics");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let (head, body) = serve(&parts).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Response::from_parts(head, body)
}

/// Sends a request, and retries while other tests scrape at the same time.
async fn answered(method: Method, headers: &[(&str, &str)]) -> Response<bytes::Bytes> {
    installed();
    loop {
        let response = asked(method.clone(), headers).await;
        if response.status() != StatusCode::SERVICE_UNAVAILABLE {
            return response;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn get_head_and_other_methods_are_answered() {
    let get = answered(Method::GET, &[]).await;
    assert_eq!(get.status(), StatusCode::OK);
    assert_eq!(get.headers()["content-type"], CONTENT_TYPE);
    assert!(get.body().starts_with(b"# HELP "));
    let head = answered(Method::HEAD, &[]).await;
    assert_eq!((head.status(), head.body().len()), (StatusCode::OK, 0));
    assert_eq!(head.headers()["content-type"], CONTENT_TYPE);
    assert_eq!(head.headers()["vary"], get.headers()["vary"]);
    assert!(!head.headers().contains_key("content-length"), "{head:?}");
    let post = answered(Method::POST, &[]).await;
    assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(post.headers()["allow"], "GET, HEAD");
}

#[test]
fn a_scrape_is_answered_while_all_blocking_threads_of_the_runtime_are_busy() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(1)
        .build()
        .unwrap();
    let (begin, begun) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    runtime.spawn_blocking(move || {
        begin.send(()).unwrap();
        let _ = released.recv();
    });
    begun.recv().unwrap();
    let (answer, answers) = mpsc::channel();
    runtime.spawn(async move {
        let response = answered(Method::GET, &[]).await;
        let _ = answer.send(response.status());
    });
    let status = answers.recv_timeout(SOON);
    drop(release);
    assert_eq!(status, Ok(StatusCode::OK));
}

/// A length of 0 would be wrong, and bytes after the head would be read as the next response.
#[tokio::test]
async fn head_over_a_connection_has_no_length_and_no_content() {
    installed();
    let metrics = |request: axum::extract::Request| async move {
        let (parts, _) = request.into_parts();
        serve(&parts).await.map(axum::body::Body::new)
    };
    let app = axum::Router::new().route("/metrics", axum::routing::any(metrics));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let mut stream = TcpStream::connect(address).await.unwrap();
    let requests = "HEAD /metrics HTTP/1.1\r\nhost: a\r\n\r\nGET /none HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    stream.write_all(requests.as_bytes()).await.unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    server.abort();
    let (head, next) = answers.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200 OK") || head.starts_with("HTTP/1.1 503 "),
        "{head}"
    );
    assert!(
        !head.to_ascii_lowercase().contains("content-length: 0"),
        "{head}"
    );
    assert!(next.starts_with("HTTP/1.1 404 "), "{answers}");
}

#[tokio::test]
async fn open_metrics_is_for_those_who_ask_for_it_and_the_text_format_for_all_others() {
    let prometheus_2 = "application/openmetrics-text;version=1.0.0,\
        application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
        text/plain;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    for accept in [
        prometheus_2,
        prometheus_3,
        "application/openmetrics-text",
        "Application/OpenMetrics-Text; version=\"1.0.0\"",
        "text/plain;q=0.5, application/openmetrics-text",
        "*/*, application/openmetrics-text",
        "application/openmetrics-text;note=\"a,text/plain;q=0\";q=0.5",
        "application/openmetrics-text;note=\"\\\"; q=0\"",
    ] {
        let response = answered(Method::GET, &[("accept", accept)]).await;
        assert_eq!(
            response.headers()["content-type"],
            CONTENT_TYPE_OPEN_METRICS,
            "{accept}"
        );
        assert_eq!(response.headers()["vary"], "accept, accept-encoding");
        assert!(response.body().ends_with(b"\n# EOF\n"), "{accept}");
    }
    for accept in [
        "*/*",
        "",
        "text/html",
        "text/plain;version=0.0.4",
        "application/vnd.google.protobuf",
        "application/openmetrics-text;q=0",
        "application/openmetrics-text;version=2.0.0",
        "application/openmetrics-text;version=0.0.1",
        "application/openmetrics-text;q=0.5,text/plain",
        "application/openmetrics-text;q=0.5,text/*;q=0.7",
        "text/*, application/openmetrics-text;q=0.5, text/*;q=0.1",
        "*/*, application/openmetrics-text;q=0.5, */*;q=0.1",
        "text/html;note=\",application/openmetrics-text\"",
        "application/openmetrics-text;q=nonsense",
    ] {
        let response = answered(Method::GET, &[("accept", accept)]).await;
        assert_eq!(response.headers()["content-type"], CONTENT_TYPE, "{accept}");
        assert!(!response.body().ends_with(b"# EOF\n"), "{accept}");
    }
}

#[tokio::test]
async fn open_metrics_is_zipped_too() {
    let headers = [
        ("accept", "application/openmetrics-text"),
        ("accept-encoding", "gzip"),
    ];
    let response = answered(Method::GET, &headers).await;
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&response.body()[..])
        .read_to_string(&mut text)
        .unwrap();
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn gzip_is_sent_to_those_who_take_it_and_unpacks_to_the_text() {
    for takes in [
        "gzip",
        "deflate, GZIP;q=0.5",
        "*",
        "br, *;q=0.1",
        "gzip;q=0, x-gzip",
        "*;q=0, *",
        "br;a=\",gzip;q=0,\", *",
    ] {
        let response = answered(Method::GET, &[("accept-encoding", takes)]).await;
        assert_eq!(response.headers()["content-encoding"], "gzip", "{takes}");
        assert_eq!(response.headers()["vary"], "accept, accept-encoding");
        let mut text = String::new();
        flate2::read::GzDecoder::new(&response.body()[..])
            .read_to_string(&mut text)
            .unwrap();
        assert!(text.starts_with("# HELP ") && text.len() > response.body().len());
    }
    for refuses in [
        "identity",
        "gzip;q=0",
        "gzip; q=0.0, *",
        "br",
        "*;q=0",
        "gzip;q=nonsense",
    ] {
        let response = answered(Method::GET, &[("accept-encoding", refuses)]).await;
        assert!(
            !response.headers().contains_key("content-encoding"),
            "{refuses}"
        );
        assert!(response.body().starts_with(b"# HELP "), "{refuses}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_scrapes_share_renders_and_the_surplus_has_to_retry() {
    installed();
    let scrapes: Vec<_> = (0..64)
        .map(|_| tokio::spawn(asked(Method::GET, &[])))
        .collect();
    let mut served = 0;
    for scrape in scrapes {
        let response = scrape.await.unwrap();
        match response.status() {
            StatusCode::OK => served += 1,
            StatusCode::SERVICE_UNAVAILABLE => assert_eq!(response.headers()["retry-after"], "1"),
            other => unreachable!("{other}"),
        }
    }
    assert!(served > 0);
}

#[tokio::test]
async fn a_scrape_shows_all_that_happened_before_it() {
    for round in 1..=20 {
        duckdb_query_total("FRESH").inc();
        let response = answered(Method::GET, &[]).await;
        let text = std::str::from_utf8(response.body()).unwrap();
        assert_eq!(
            value(text, r#"duckdb_query_total{query_type="FRESH"}"#),
            Some(f64::from(round))
        );
    }
}

#[test]
fn without_a_runtime_the_text_is_rendered_as_well() {
    installed();
    let mut serving = Box::pin(answered(Method::GET, &[]));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let response = loop {
        if let std::task::Poll::Ready(response) = serving.as_mut().poll(&mut context) {
            break response;
        }
    };
    assert_eq!(response.status(), StatusCode::OK);
}

#[test]
fn a_hook_publishes_before_each_scrape_and_its_panic_does_no_harm() {
    let published = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&published);
    ops_metrics::before_scrape(move || {
        let total = counted.fetch_add(1, Ordering::Relaxed) + 1;
        metrics::counter!("duckdb_query_total", "query_type" => "HOOKED").absolute(total);
    });
    ops_metrics::before_scrape(|| std::panic::resume_unwind(Box::new("on purpose")));
    let text = rendered();
    let shown = value(&text, r#"duckdb_query_total{query_type="HOOKED"}"#);
    assert!(shown.is_some_and(|total| total >= 1.0), "{shown:?}");
}

ops_metrics::define! {
    /// More lines than one piece has.
    histogram streamed_seconds { first: &'static str }
}

/// Returns the pieces of a body, as a server polls them.
async fn pieces(headers: &[(&str, &str)]) -> (Option<u64>, Vec<bytes::Bytes>) {
    loop {
        let mut request = Request::builder().uri("/metrics");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let response = serve(&parts).await;
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            tokio::task::yield_now().await;
            continue;
        }
        let mut body = response.into_body();
        let length = axum::body::HttpBody::size_hint(&body).exact();
        let mut pieces = Vec::new();
        while let Some(frame) = body.frame().await {
            pieces.push(frame.unwrap().into_data().unwrap());
        }
        return (length, pieces);
    }
}

#[tokio::test]
async fn a_large_exposition_comes_in_pieces_of_whole_lines() {
    installed();
    for value in 0..190 {
        streamed_seconds(format!("{value:0250}").leak()).observe(0.5);
    }
    let (length, pieces) = pieces(&[]).await;
    assert!(length.is_none() && pieces.len() > 3, "{}", pieces.len());
    for piece in &pieces {
        // a piece may exceed its size by at most a batch of histograms
        assert!(piece.len() < 512 * 1024, "{}", piece.len());
        assert!(piece.ends_with(b"\n"));
    }
    let all = pieces.concat();
    let text = std::str::from_utf8(&all).unwrap();
    assert_eq!(text.matches("streamed_seconds_count{").count(), 190);

    let zipped = [
        ("accept-encoding", "gzip"),
        ("accept", "application/openmetrics-text"),
    ];
    let (_, zipped) = self::pieces(&zipped).await;
    assert!(zipped.len() > 1, "{}", zipped.len());
    let mut text = String::new();
    flate2::read::GzDecoder::new(&zipped.concat()[..])
        .read_to_string(&mut text)
        .unwrap();
    assert!(text.ends_with("# EOF\n"));
    assert_eq!(text.matches("streamed_seconds_count{").count(), 190);
}

#[tokio::test]
async fn a_body_that_is_not_read_to_its_end_does_no_harm() {
    installed();
    let mut request = Request::builder().uri("/metrics");
    request = request.header("accept-encoding", "gzip");
    let (parts, ()) = request.body(()).unwrap().into_parts();
    drop(serve(&parts).await);
    assert_eq!(answered(Method::GET, &[]).await.status(), StatusCode::OK);
}
