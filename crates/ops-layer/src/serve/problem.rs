use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};

/// Detail of a problem, in the extensions of its response.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(feature = "grpc"),
    expect(dead_code, reason = "read for calls of gRPC")
)]
pub(super) struct Detail(pub(super) &'static str);

/// Creates a response with `application/problem+json` (RFC 9457); with status 503, it asks to retry after a second.
pub(super) fn problem(status: StatusCode, detail: &'static str) -> Response {
    let title = status.canonical_reason().unwrap_or("Error");
    let code = status.as_u16();
    let text = format!(
        "{{\"type\":\"about:blank\",\"title\":\"{title}\",\"status\":{code},\"detail\":\"{detail}\"}}"
    );
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.extensions_mut().insert(Detail(detail));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/problem+json");
    headers.insert(header::CONTENT_TYPE, kind);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
