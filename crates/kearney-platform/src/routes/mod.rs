//! Routes of the API: one file per resource.

mod airports;
mod answer;
mod assets;
mod flights;
mod isochrone;
mod orchestrator;
mod registry;
mod viz;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;

use crate::platform::Platform;
use crate::problem::Problem;

/// Returns all routes of the API; the service itself adds probes and `/metrics`.
pub fn router(platform: Arc<Platform>) -> Router {
    Router::new()
        .route("/", get(assets::start_page))
        .route("/assets/{file}", get(assets::asset))
        .route(
            "/api/registry/models",
            get(registry::models)
                .post(registry::add_model)
                .layer(DefaultBodyLimit::max(registry::MODEL_BYTES)),
        )
        .route(
            "/api/orchestrator/runs",
            get(orchestrator::runs)
                .post(orchestrator::start_run)
                .layer(DefaultBodyLimit::max(orchestrator::REQUEST_BYTES)),
        )
        .route(
            "/api/orchestrator/runs/{id}",
            get(orchestrator::run).delete(orchestrator::cancel_run),
        )
        .route("/api/registry/datasets", get(registry::datasets))
        .route("/api/viz/palette", get(viz::palette))
        .route("/api/flights/summary", get(flights::summary))
        .route("/api/airports", get(airports::near))
        .route("/api/isochrone", get(isochrone::area))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(platform)
}

async fn not_found(uri: http::Uri) -> Problem {
    let path: String = uri.path().chars().take(100).collect();
    Problem::new(http::StatusCode::NOT_FOUND, format!("no such path: {path}"))
}

async fn method_not_allowed(method: http::Method) -> Problem {
    Problem::new(
        http::StatusCode::METHOD_NOT_ALLOWED,
        format!("{method} is not allowed here; see the Allow header"),
    )
}
