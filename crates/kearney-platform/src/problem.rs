//! Errors as `application/problem+json` (RFC 9457).

use std::num::NonZeroU16;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

/// Error of a request, with a message for the client.
#[derive(Debug, Serialize)]
pub struct Problem {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    /// Invalid parameter or header.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<String>,
    /// Description of the accepted values.
    #[serde(skip_serializing_if = "Option::is_none")]
    accepts: Option<String>,
    /// Seconds after which to retry.
    #[serde(skip)]
    retry_after: Option<NonZeroU16>,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
            parameter: None,
            accepts: None,
            retry_after: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(NonZeroU16::MIN),
        }
    }

    /// Sets `Retry-After` in seconds, clamped to 1 to 65 535.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        let seconds = u16::try_from(seconds).unwrap_or(u16::MAX);
        self.retry_after = Some(NonZeroU16::new(seconds).unwrap_or(NonZeroU16::MIN));
        self
    }

    /// Returns a 400 for an invalid parameter.
    pub fn parameter(name: &str, detail: impl Into<String>, accepts: impl Into<String>) -> Self {
        Self {
            parameter: Some(name.into()),
            accepts: Some(accepts.into()),
            ..Self::new(StatusCode::BAD_REQUEST, detail)
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after;
        let mut response = (status, Json(self)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if let Some(seconds) = retry_after {
            let seconds = HeaderValue::from(seconds.get());
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}
