//! Routes for orchestrators and Prometheus, if the application has none of its own.

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderValue, Method, StatusCode, header};
use ops_http::Route;

use super::problem::problem;
use super::readiness::Readiness;

pub(super) async fn answer(request: Request, readiness: &Readiness, next: Next) -> Response {
    let route = match request.uri().path() {
        "/healthz" => "/healthz",
        "/livez" => "/livez",
        "/readyz" => "/readyz",
        _ => "/metrics",
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = problem(
            StatusCode::METHOD_NOT_ALLOWED,
            "probes accept GET and HEAD only",
        );
        let allow = HeaderValue::from_static("GET, HEAD");
        refused.headers_mut().insert(header::ALLOW, allow);
        refused.extensions_mut().insert(Route::new(route));
        return refused;
    }
    let mut response = match route {
        "/metrics" => return metrics(request, next).await,
        "/readyz" => match readiness.not_ready().await {
            None => text("ready\n"),
            // reasons are for operators: the admin page shows them
            Some(_) => problem(StatusCode::SERVICE_UNAVAILABLE, "not ready"),
        },
        _ => text("ok\n"),
    };
    let now_only = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, now_only);
    response.extensions_mut().insert(Route::new(route));
    response
}

fn text(text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

#[cfg(feature = "metrics")]
async fn metrics(request: Request, _: Next) -> Response {
    let (parts, _) = request.into_parts();
    let mut response = ops_metrics::serve(&parts).await.map(Body::new);
    response.extensions_mut().insert(Route::new("/metrics"));
    response
}

/// Passes the request on: without metrics, the application answers the route.
#[cfg(not(feature = "metrics"))]
async fn metrics(request: Request, next: Next) -> Response {
    next.run(request).await
}
