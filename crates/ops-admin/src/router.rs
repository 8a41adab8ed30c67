//! Routes, and the properties of every response.

use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use http::{HeaderValue, StatusCode, Uri, header};

use crate::actions::REQUEST_BYTES;
use crate::state::{State as Document, collected};
use crate::text::{printable, redacted};
use crate::{Admin, guard, page, questions, stream, token};

impl Admin {
    /// Returns all routes, to be served on a separate listener.
    pub fn router(self) -> Router {
        router(self)
    }
}

fn router(admin: Admin) -> Router {
    let hub = stream::Hub::default();
    let router = Router::new()
        .route("/", get(page::page))
        .route("/assets/{file}", get(page::asset))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/api/state", get(current_state))
        .route(
            "/api/stream",
            get(move |admin, headers| stream::open(hub.clone(), admin, headers)),
        )
        .route("/api/openapi.json", get(page::openapi))
        .route("/api/history/flush", post(questions::flush))
        .route("/api/history/{name}", get(questions::named))
        .route("/api/sql", post(questions::sql));
    let router = parts(router);
    let router = router
        .layer(DefaultBodyLimit::max(REQUEST_BYTES))
        .layer(middleware::from_fn(guard::check_change));
    let router = match admin.token_check() {
        None => router,
        Some(token) => router.layer(middleware::from_fn_with_state(token, token::check)),
    };
    let host = middleware::from_fn_with_state(admin.clone(), guard::check_host);
    router
        .route("/healthz", get(|| async { "ok\n" }))
        .layer(host)
        .layer(middleware::map_response(forbid_caching))
        .with_state(admin)
}

/// Adds the routes of the parts that are compiled in.
fn parts(router: Router<Admin>) -> Router<Admin> {
    #[cfg(any(feature = "log", feature = "trace", feature = "cache"))]
    use crate::actions;
    #[cfg(any(feature = "log", feature = "trace", feature = "metrics"))]
    use crate::reads;
    #[cfg(feature = "log")]
    let router = router
        .route("/api/lines", get(reads::lines))
        .route("/api/level", post(actions::level::change))
        .route("/api/level/revert", post(actions::level::revert));
    #[cfg(feature = "trace")]
    let router = router
        .route("/api/traces", get(reads::traces))
        .route("/api/traces/{id}", get(reads::trace))
        .route("/api/sampling", post(actions::sampling::change))
        .route("/api/sampling/revert", post(actions::sampling::revert));
    #[cfg(feature = "metrics")]
    let router = router
        .route("/metrics", get(metrics))
        .route("/api/tiles", get(reads::tiles))
        .route("/api/routes", get(reads::routes));
    #[cfg(feature = "profile")]
    let router = router.route("/debug/pprof/profile", get(crate::profile::take));
    #[cfg(feature = "cache")]
    let router = router.route("/api/cache/invalidate", post(actions::cache::invalidate));
    router
}

async fn readyz(State(admin): State<Admin>, uri: Uri) -> (StatusCode, String) {
    let (status, mut text) = match admin.not_ready().await {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(reason) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{}\n", readable(&reason)),
        ),
    };
    if is_verbose(&uri) {
        text += &verbose(&admin);
    }
    (status, text)
}

/// Returns whether the query has `verbose`, with or without a value.
fn is_verbose(uri: &Uri) -> bool {
    let mut parts = uri.query().unwrap_or_default().split('&');
    parts.any(|part| part.split('=').next() == Some("verbose"))
}

/// Returns one line for each check, then one for each finding, causes first.
fn verbose(admin: &Admin) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    for check in admin.latest_checks() {
        let reason = check
            .reason
            .map_or_else(String::new, |reason| format!(": {}", readable(&reason)));
        // writing to a string does not fail
        let _ = writeln!(
            text,
            "check {}: {}{reason}",
            readable(&check.name),
            check.state
        );
    }
    for finding in admin.find().map(collected).unwrap_or_default() {
        let because = finding.explained_by.map_or_else(String::new, |id| {
            format!(", explained by {}", printable(&id))
        });
        let severity = finding.severity.as_str();
        let _ = writeln!(
            text,
            "finding {} ({severity}{because}): {}",
            printable(&finding.id),
            printable(&finding.seen)
        );
    }
    text
}

/// Returns a foreign text on one line, with secrets redacted.
fn readable(text: &str) -> String {
    printable(&redacted(text))
}

async fn current_state(State(admin): State<Admin>) -> Result<Json<Document>, StatusCode> {
    let document = Document::of(admin).await;
    document.map(Json).ok_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Forbids caching a response, and interpreting it as another type.
async fn forbid_caching(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

#[cfg(feature = "metrics")]
async fn metrics(request: axum::extract::Request) -> Response {
    let (parts, _) = request.into_parts();
    ops_metrics::serve(&parts).await.map(axum::body::Body::new)
}
