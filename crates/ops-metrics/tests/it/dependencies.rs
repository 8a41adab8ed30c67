//! Requests that are sent, as metrics.

use std::io;

use axum::body::Body;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use ops_http::ClientLayer;
use ops_metrics::http::ClientMetrics;
use ops_metrics::testing::Registry;
use tower::{Layer as _, ServiceExt as _};

/// A client that answers by the path.
async fn answer(request: Request<Body>) -> io::Result<Response<Body>> {
    match request.uri().path() {
        "/refused" => Err(io::ErrorKind::ConnectionRefused.into()),
        "/hangs" => std::future::pending().await,
        "/busy" => Ok(Response::builder().status(503).body(Body::empty()).unwrap()),
        _ => Ok(Response::new(Body::from("fine"))),
    }
}

async fn requests() {
    let client = ClientLayer::new(ClientMetrics::new()).layer(tower::service_fn(answer));
    for url in [
        "http://a:b@Orders.example:81/fine",
        "http://orders.example:81/fine",
        "http://orders.example:81/busy",
        "http://orders.example:81/refused",
    ] {
        let request = Request::get(url).body(Body::empty()).unwrap();
        if let Ok(response) = client.clone().oneshot(request).await {
            response.into_body().collect().await.unwrap();
        }
    }
    let request = Request::get("http://slow.example/hangs");
    let waiting = client.oneshot(request.body(Body::empty()).unwrap());
    tokio::select! {
        biased;
        _ = waiting => unreachable!("it hangs"),
        () = std::future::ready(()) => {}
    }
}

#[tokio::test]
async fn requests_that_are_sent_are_counted_by_host_and_how_they_ended() {
    let registry = Registry::new();
    registry.scope(requests()).await;
    let of = |host: &str, status: &str| {
        let labels = format!(r#"{{host="{host}",method="GET",status="{status}"}}"#);
        registry.value(&format!("http_client_requests_total{labels}"))
    };
    assert_eq!(of("orders.example:81", "200"), Some(2.0));
    assert_eq!(of("orders.example:81", "503"), Some(1.0));
    assert_eq!(of("orders.example:81", "connection_refused"), Some(1.0));
    assert_eq!(of("slow.example", "cancelled"), Some(1.0));
    let timed =
        r#"http_client_request_latency_seconds_count{host="orders.example:81",method="GET"}"#;
    assert_eq!(registry.value(timed), Some(4.0));
}
