//! The page: a shell that is rendered here. Its style and modules are served unchanged.

mod summary;

use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::Admin;
use crate::state::State as Document;
use crate::text::escaped;

const SHELL: &str = include_str!("../../assets/page.html");
const OPENAPI: &str = include_str!("../../assets/openapi.json");

const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const ASSETS: [(&str, &str, &str); 12] = [
    ("page.css", CSS, include_str!("../../assets/page.css")),
    ("page.js", JS, include_str!("../../assets/page.js")),
    ("address.js", JS, include_str!("../../assets/address.js")),
    ("charts.js", JS, include_str!("../../assets/charts.js")),
    ("dom.js", JS, include_str!("../../assets/dom.js")),
    ("history.js", JS, include_str!("../../assets/history.js")),
    ("jobs.js", JS, include_str!("../../assets/jobs.js")),
    ("last-run.js", JS, include_str!("../../assets/last-run.js")),
    ("lines.js", JS, include_str!("../../assets/lines.js")),
    ("live.js", JS, include_str!("../../assets/live.js")),
    ("parts.js", JS, include_str!("../../assets/parts.js")),
    ("traces.js", JS, include_str!("../../assets/traces.js")),
];

/// Content security policy: nothing is loaded from elsewhere, and nothing that is written into the page is executed.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Responds to browsers with the page, and otherwise with a summary as plain text.
pub(crate) async fn page(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    let Some(document) = Document::of(admin).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let accepted = headers.get(header::ACCEPT);
    let wants_html = accepted
        .and_then(|accepted| accepted.to_str().ok())
        .is_some_and(|accepted| accepted.contains("text/html"));
    let mut response = if wants_html {
        Html(shell(&document)).into_response()
    } else {
        summary::text(&document).into_response()
    };
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::VARY, "accept"),
    ];
    for (name, value) in fixed {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Renders the shell with the data that is known before any script runs.
fn shell(document: &Document) -> String {
    let build = document.version.iter().chain(&document.commit);
    let build: Vec<&str> = build.map(String::as_str).collect();
    SHELL
        .replace("{{state}}", document.verdict.state)
        .replace("{{build}}", &escaped(&build.join(" · ")))
        .replace("{{service}}", &escaped(&document.service))
}

/// Returns a style sheet or a module of the page.
pub(crate) async fn asset(Path(file): Path<String>) -> Response {
    let found = ASSETS.iter().find(|(name, ..)| *name == file);
    match found {
        Some((_, kind, text)) => ([(header::CONTENT_TYPE, *kind)], *text).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Returns the description of the routes.
pub(crate) async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}
