use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::CACHE_CONTROL;
use http::{HeaderName, StatusCode};

use crate::platform::Platform;
use crate::problem::Problem;

/// Answer of this moment: nobody may keep it, and it is never "not modified".
type Probe = ([(HeaderName, &'static str); 1], &'static str);

fn probe(text: &'static str) -> Probe {
    ([(CACHE_CONTROL, "no-store")], text)
}

pub async fn healthz() -> Probe {
    probe("ok\n")
}

pub async fn readyz(State(platform): State<Arc<Platform>>) -> Result<Probe, Problem> {
    match platform.not_ready() {
        None => Ok(probe("ready\n")),
        Some(why) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, why)),
    }
}

pub async fn metrics(request: Request) -> Response {
    let (parts, _) = request.into_parts();
    ops_layer::metrics::serve(&parts).await.map(Body::from)
}
