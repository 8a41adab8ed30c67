use bytes::Bytes;
use http::header::{
    ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE as CONTENT_TYPE_HEADER, RETRY_AFTER, VARY,
};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, request};

use crate::builtin::{ScrapeFailure, ops_metrics_scrape_failures_total, ops_metrics_scrapes_total};
use crate::recorder;
use crate::scrape::accept::takes_gzip;
use crate::scrape::shared_render::{Rendered, Scrape};

/// The content type of `/metrics`.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers a request for `/metrics`, whatever its path, for any framework.
///
/// | request | answer |
/// |---|---|
/// | `GET`, `HEAD` | 200 and the text format 0.0.4, whatever `Accept` says; gzip where that is accepted and pays |
/// | any other method | 405 |
/// | before [`install`](crate::install) | 503 |
/// | while five scrapes are under way | 503, to be tried again after a second |
/// | the render panics, or takes longer than 2 s | 500 |
///
/// The text is rendered off the async workers, once for all scrapes that wait for it.
pub async fn serve(request: &request::Parts) -> Response<Bytes> {
    let head = request.method == Method::HEAD;
    if !head && request.method != Method::GET {
        let refused = plain(StatusCode::METHOD_NOT_ALLOWED, "accepted: GET, HEAD\n");
        return with(refused, ALLOW, "GET, HEAD");
    }
    if !recorder::is_installed() {
        return plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "metrics are not installed\n",
        );
    }
    match scrape().await {
        Ok(rendered) => {
            ops_metrics_scrapes_total().inc();
            answer(&rendered, head, takes_gzip(&request.headers))
        }
        Err(failure) => {
            ops_metrics_scrape_failures_total(failure).inc();
            refuse(failure)
        }
    }
}

async fn scrape() -> Result<std::sync::Arc<Rendered>, ScrapeFailure> {
    let scrape = Scrape::begin()?;
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => {
            let waiting = runtime.spawn_blocking(move || scrape.wait());
            waiting.await.unwrap_or(Err(ScrapeFailure::Panic))
        }
        Err(_) => scrape.wait(),
    }
}

fn answer(rendered: &Rendered, head: bool, gzip: bool) -> Response<Bytes> {
    let zipped = rendered.gzip.as_ref().filter(|_| gzip);
    let body = zipped.unwrap_or(&rendered.text);
    let mut response = Response::new(if head { Bytes::new() } else { body.clone() });
    if head {
        response
            .headers_mut()
            .insert(CONTENT_LENGTH, body.len().into());
    }
    if zipped.is_some() {
        response = with(response, CONTENT_ENCODING, "gzip");
    }
    with(
        with(response, CONTENT_TYPE_HEADER, CONTENT_TYPE),
        VARY,
        "accept-encoding",
    )
}

fn refuse(failure: ScrapeFailure) -> Response<Bytes> {
    let failed = |text| plain(StatusCode::INTERNAL_SERVER_ERROR, text);
    match failure {
        ScrapeFailure::Busy => {
            let busy = plain(StatusCode::SERVICE_UNAVAILABLE, "too many scrapes wait\n");
            with(busy, RETRY_AFTER, "1")
        }
        ScrapeFailure::Timeout => failed("metrics were not rendered within 2 seconds\n"),
        ScrapeFailure::Panic => failed("rendering the metrics panicked\n"),
        ScrapeFailure::Thread => failed("there is no thread to render the metrics\n"),
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    *response.status_mut() = status;
    with(response, CONTENT_TYPE_HEADER, "text/plain; charset=utf-8")
}

fn with(mut response: Response<Bytes>, name: HeaderName, value: &'static str) -> Response<Bytes> {
    let value = HeaderValue::from_static(value);
    response.headers_mut().insert(name, value);
    response
}
