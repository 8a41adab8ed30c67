//! The warning of a process about requests without a route: apart from the others, which share one process.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http_body_util::BodyExt as _;
use ops_http::ObserveLayer;
use ops_metrics::http::RedMetrics;
use tower::ServiceExt as _;
use tracing::field::{Field, Visit};

/// Keeps the events of ops_metrics as `name=value` texts.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<String>>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0 += &format!("{}={value:?} ", field.name());
    }
}

impl tracing::Subscriber for Events {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "ops_metrics"
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = Text(format!("{} ", event.metadata().level()));
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

async fn get(router: &Router, path: &str) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let Ok(response) = router.clone().oneshot(request).await;
    response.into_body().collect().await.unwrap();
}

#[tokio::test]
async fn the_first_request_that_is_served_without_a_route_is_told_with_the_cure() {
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
    let events = Events::default();
    let _default = tracing::subscriber::set_default(events.clone());
    // answered without a route, but not served: what scanners do
    for path in ["/named/a.js", "/static/missing", "/nothing/here"] {
        get(&router, path).await;
    }
    assert!(events.0.lock().unwrap().is_empty());
    let long = format!("/static/{}?token=hunter2", "x".repeat(100));
    for path in [long.as_str(), "/static/b.js"] {
        get(&router, path).await;
    }
    let events = events.0.lock().unwrap();
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
