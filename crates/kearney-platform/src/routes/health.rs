use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;

use crate::platform::Platform;
use crate::problem::Problem;

pub async fn healthz() -> &'static str {
    "ok\n"
}

pub async fn readyz(State(platform): State<Arc<Platform>>) -> Result<&'static str, Problem> {
    match platform.not_ready() {
        None => Ok("ready\n"),
        Some(why) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, why)),
    }
}

pub async fn metrics(request: Request) -> Response {
    let (parts, _) = request.into_parts();
    ops_layer::metrics::serve(&parts).await.map(Body::from)
}
