//! Start page and its files, whose names contain a hash of their content.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::{Html, IntoResponse, Response};
use http::{StatusCode, header};
use sha2::{Digest, Sha256};

use crate::problem::Problem;

struct Asset {
    name: String,
    kind: &'static str,
    text: &'static str,
}

static ASSETS: LazyLock<[Asset; 2]> = LazyLock::new(|| {
    [
        hashed(
            "start",
            "css",
            "text/css; charset=utf-8",
            include_str!("../../assets/start.css"),
        ),
        hashed(
            "start",
            "js",
            "text/javascript; charset=utf-8",
            include_str!("../../assets/start.js"),
        ),
    ]
});

static START_PAGE: LazyLock<String> = LazyLock::new(|| {
    include_str!("../../assets/start.html")
        .replace("{css}", &ASSETS[0].name)
        .replace("{js}", &ASSETS[1].name)
});

fn hashed(stem: &str, extension: &str, kind: &'static str, text: &'static str) -> Asset {
    let digest = Sha256::digest(text.as_bytes());
    let hash: String = digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Asset {
        name: format!("{stem}-{hash}.{extension}"),
        kind,
        text,
    }
}

pub async fn start_page() -> Html<&'static str> {
    Html(START_PAGE.as_str())
}

/// Serves an asset under its hashed name; it never changes, so it may be cached for a year.
pub async fn asset(file: Result<Path<String>, PathRejection>) -> Response {
    let named = |asset: &&Asset| file.as_ref().is_ok_and(|file| asset.name == file.0);
    match ASSETS.iter().find(named) {
        Some(asset) => ([(header::CONTENT_TYPE, asset.kind)], asset.text).into_response(),
        None => Problem::new(StatusCode::NOT_FOUND, "no such asset").into_response(),
    }
}
