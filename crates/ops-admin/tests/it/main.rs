//! The admin listener, asked as browsers and scripts ask it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod guard;
#[cfg(feature = "log")]
mod level;
mod state;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode, request};
use http_body_util::BodyExt as _;
use ops_admin::Admin;
use tower::ServiceExt as _;

/// An answer, read to its end.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

fn admin() -> Router {
    Admin::new("it").router()
}

async fn send(router: &Router, request: request::Builder, body: &str) -> Answer {
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let Ok(response) = router.clone().oneshot(request).await;
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        status: head.status,
        headers: head.headers,
        body: String::from_utf8(body.into()).unwrap(),
    }
}

async fn get(router: &Router, path: &str) -> Answer {
    send(
        router,
        Request::get(path).header("host", "127.0.0.1:8001"),
        "",
    )
    .await
}
