use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE as CONTENT_TYPE_HEADER, RETRY_AFTER};
use http::{HeaderValue, Method, Response, StatusCode};
use parking_lot::Mutex;

use crate::catalog::ops_metrics_scrapes_total;
use crate::install::{is_installed, render};

/// The content type of `/metrics`.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Scrapes that may be under way or wait at the same time; the next one gets 503.
const SCRAPES_MAX: usize = 5;

static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);
static LATEST: Mutex<Option<(Instant, Bytes)>> = Mutex::new(None);

/// Answers a request for `/metrics`, whatever its path, for any framework.
///
/// `GET` and `HEAD` get 200 (503 before [`install`](crate::install), or when too many scrapes wait), other methods 405.
/// Inside tokio the text is rendered off the async workers.
pub async fn serve(request: &http::request::Parts) -> Response<Bytes> {
    let head = request.method == Method::HEAD;
    if !head && request.method != Method::GET {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "accepted: GET, HEAD\n");
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    if !is_installed() {
        return plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "metrics are not installed\n",
        );
    }
    let Some(scrape) = Scrape::begin() else {
        let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, "too many scrapes wait\n");
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
        return response;
    };
    let rendered = match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime
            .spawn_blocking(move || scrape.render())
            .await
            .ok()
            .flatten(),
        Err(_) => scrape.render(),
    };
    let Some(text) = rendered else {
        return plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            "metrics could not be rendered\n",
        );
    };
    let mut response = Response::new(if head { Bytes::new() } else { text });
    response
        .headers_mut()
        .insert(CONTENT_TYPE_HEADER, HeaderValue::from_static(CONTENT_TYPE));
    response
}

struct Scrape {
    arrived: Instant,
}

impl Scrape {
    fn begin() -> Option<Self> {
        let before = UNDER_WAY.fetch_add(1, Ordering::Relaxed);
        let scrape = Self {
            arrived: Instant::now(),
        };
        (before < SCRAPES_MAX).then_some(scrape) // one that is not handed out gives its place back
    }

    /// Renders, unless a render that began after this scrape arrived is there already.
    fn render(self) -> Option<Bytes> {
        let mut latest = LATEST.lock();
        ops_metrics_scrapes_total().inc();
        if let Some((began, text)) = latest.as_ref()
            && *began >= self.arrived
        {
            return Some(text.clone());
        }
        let began = Instant::now();
        let text = Bytes::from(render().ok()?);
        *latest = Some((began, text.clone()));
        Some(text)
    }
}

impl Drop for Scrape {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE_HEADER,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}
