//! Metrics of outgoing requests.

use std::io;

use axum::body::Body;
use http::header::HOST;
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use ops_http::ClientLayer;
use ops_metrics::http::ClientMetrics;
use ops_metrics::testing::Registry;
use tower::{Layer as _, ServiceExt as _};

/// A client whose response depends on the path.
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

#[tokio::test]
async fn a_host_is_a_name_and_a_port_and_none_is_no_overflow() {
    let registry = Registry::new();
    let client = ClientLayer::new(ClientMetrics::new()).layer(tower::service_fn(answer));
    for (url, host) in [
        ("http://a.example:/fine", None),
        ("/fine", Some("user:hunter2@b.example:80")),
        ("/fine", None),
    ] {
        let mut request = Request::get(url).body(Body::empty()).unwrap();
        request
            .headers_mut()
            .extend(host.map(|host| (HOST, HeaderValue::from_static(host))));
        let response = registry
            .scope(client.clone().oneshot(request))
            .await
            .unwrap();
        registry
            .scope(response.into_body().collect())
            .await
            .unwrap();
    }
    for host in ["a.example", "b.example:80", "other"] {
        let labels = format!(r#"{{host="{host}",method="GET",status="200"}}"#);
        let count = registry.value(&format!("http_client_requests_total{labels}"));
        assert_eq!(count, Some(1.0), "{host}");
    }
    let text = registry.render();
    assert!(!text.contains("hunter2"), "{text}");
    assert_eq!(registry.run(ops_metrics::overflows), []);
}
