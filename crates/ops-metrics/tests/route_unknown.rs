//! The warning of a process about requests without a route: separate from the others, which share one process.
#![expect(clippy::unwrap_used, reason = "tests")]

mod lines;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http_body_util::BodyExt as _;
use lines::Lines;
use ops_http::ObserveLayer;
use ops_metrics::http::RedMetrics;
use tower::ServiceExt as _;

async fn get(router: &Router, path: &str) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let Ok(response) = router.clone().oneshot(request).await;
    response.into_body().collect().await.unwrap();
}

#[tokio::test]
async fn the_first_request_without_a_route_is_logged_with_the_solution() {
    let files = tower::service_fn(|request: Request| async move {
        let mut response = Response::new(Body::from("body"));
        if request.uri().path().contains("missing") {
            *response.status_mut() = http::StatusCode::NOT_FOUND;
        }
        Ok::<_, std::convert::Infallible>(response)
    });
    let named = ops_http::route("/named/{*rest}").layer(files);
    let router = Router::new()
        .nest_service("/static", files)
        .nest_service("/named", named)
        .layer(ObserveLayer::new(RedMetrics::new()));
    let lines = Lines::default();
    let _default = tracing::subscriber::set_default(lines.clone());
    // a response without a route, but from no service: requests of scanners
    for path in ["/named/a.js", "/static/missing", "/nothing/here"] {
        get(&router, path).await;
    }
    assert!(lines.all().is_empty());
    let long = format!("/static/{}?token=hunter2", "x".repeat(100));
    for path in [long.as_str(), "/static/b.js"] {
        get(&router, path).await;
    }
    let events = lines.all();
    let [event] = events.as_slice() else {
        panic!("one line: {events:?}");
    };
    assert!(event.starts_with("WARN "), "{event}");
    let shown = format!("path=\"/static/{}\" ", "x".repeat(56));
    for part in [
        "message=route_unknown",
        "nest_service",
        "ops_http::route(",
        &shown,
    ] {
        assert!(event.contains(part), "{part}: {event}");
    }
    assert!(!event.contains("hunter2"), "{event}");
}
