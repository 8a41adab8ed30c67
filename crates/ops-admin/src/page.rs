use axum::response::{Html, IntoResponse};
use http::header;

const PAGE: &str = include_str!("../assets/page.html");

/// The page: one file, which asks `/api/state` every two seconds.
pub(crate) async fn page() -> impl IntoResponse {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                  connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'";
    let headers = [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    (headers, Html(PAGE))
}
