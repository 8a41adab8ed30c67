use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use http::header;
use sha2::{Digest, Sha256};

/// Colors of charts (Okabe and Ito, distinguishable for color-blind readers).
const PALETTE: &str = r##"{"name":"okabe-ito","categorical":["#E69F00","#56B4E9","#009E73","#F0E442","#0072B2","#D55E00","#CC79A7","#000000"]}"##;

/// Weak, since a proxy may compress the body (RFC 9110 section 8.8.1).
static ETAG: LazyLock<String> = LazyLock::new(|| {
    let digest = Sha256::digest(PALETTE.as_bytes());
    let hex: String = digest
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("W/\"{hex}\"")
});

/// Returns the palette. The cache layer adds Cache-Control and 304, by `stable_endpoints` of cache.yaml.
pub async fn palette() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::ETAG, ETAG.as_str()),
    ];
    (headers, PALETTE).into_response()
}
