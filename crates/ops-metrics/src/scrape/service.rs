use bytes::Bytes;
use http::header::{
    ALLOW, CONTENT_ENCODING, CONTENT_TYPE as CONTENT_TYPE_HEADER, RETRY_AFTER, VARY,
};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, request};
use tokio::sync::oneshot;

use crate::builtin::{ScrapeFailure, ops_metrics_scrape_failures_total, ops_metrics_scrapes_total};
use crate::recorder;
use crate::scrape::accept;
use crate::scrape::body::ScrapeBody;
use crate::scrape::lines::Format;
use crate::scrape::preparation::Scrape;
use crate::scrape::zipped::{self, Zipped};

/// Content type of the text format 0.0.4, the default of `/metrics`.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Content type of OpenMetrics 1.0.
pub const CONTENT_TYPE_OPEN_METRICS: &str =
    "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Responds to a request for `/metrics`, whatever its path, for any framework.
///
/// | request | response |
/// |---|---|
/// | `GET` | 200 and OpenMetrics 1.0 if `Accept` names it, as Prometheus does, else text format 0.0.4; gzip if accepted |
/// | `HEAD` | the same without `Content-Length` (RFC 9110, section 9.3.2): no text is written for it |
/// | any other method | 405 |
/// | before [`init`](crate::init) | 503 |
/// | while five scrapes wait for values that are published before them | 503, with a `Retry-After` of one second |
/// | publishing panics, or its thread cannot be started | 500 |
/// | a hook takes longer than 2 s, or hangs since an earlier scrape | 200 without the values of the hook |
///
/// gzip needs the feature `gzip`; for hooks see [`before_scrape`](crate::before_scrape). Values
/// that are counted elsewhere are published on a separate thread, neither an async worker nor one
/// of `spawn_blocking`, once for all scrapes that wait for them. The text is written while it is
/// read, 64 KiB at a time; up to 256 KiB it is sent with its length.
pub async fn serve(request: &request::Parts) -> Response<ScrapeBody> {
    let head = request.method == Method::HEAD;
    if !head && request.method != Method::GET {
        let refused = plain(
            StatusCode::METHOD_NOT_ALLOWED,
            "method not allowed: use GET or HEAD\n",
        );
        return with(refused, ALLOW, "GET, HEAD");
    }
    if !recorder::is_installed() {
        return plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "metrics are not installed\n",
        );
    }
    let format = accept::format(&request.headers);
    let gzip = zipped::is_accepted(&request.headers);
    if let Err(failure) = prepared().await {
        ops_metrics_scrape_failures_total(failure).inc();
        if let Some(refusal) = refusal(failure) {
            return refusal;
        }
    }
    ops_metrics_scrapes_total().inc();
    answer(format, gzip, head)
}

/// Waits on a separate thread: those of `spawn_blocking` may all be busy, and outside of a runtime there are none.
async fn prepared() -> Result<(), ScrapeFailure> {
    let scrape = Scrape::begin()?;
    let (done, wait) = oneshot::channel();
    let waiting = move || {
        let _ = done.send(scrape.wait()); // the client may have gone away
    };
    let thread = std::thread::Builder::new().name("ops-metrics-ask".into());
    match thread.spawn(waiting) {
        Ok(_) => wait.await.unwrap_or(Err(ScrapeFailure::Panic)),
        Err(_) => Err(ScrapeFailure::Thread),
    }
}

fn answer(format: Format, gzip: bool, head: bool) -> Response<ScrapeBody> {
    let mut response = Response::new(match head {
        true => ScrapeBody::for_head(),
        false => ScrapeBody::of_metrics(format, Zipped::if_accepted(gzip)),
    });
    if gzip {
        response = with(response, CONTENT_ENCODING, "gzip");
    }
    let content_type = match format {
        Format::Text => CONTENT_TYPE,
        Format::OpenMetrics => CONTENT_TYPE_OPEN_METRICS,
    };
    with(
        with(response, CONTENT_TYPE_HEADER, content_type),
        VARY,
        "accept, accept-encoding",
    )
}

/// Returns the response to a scrape that failed; `None` if most of the values are available.
fn refusal(failure: ScrapeFailure) -> Option<Response<ScrapeBody>> {
    let failed = |text| Some(plain(StatusCode::INTERNAL_SERVER_ERROR, text));
    match failure {
        ScrapeFailure::Busy => {
            let busy = plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many scrapes are waiting\n",
            );
            Some(with(busy, RETRY_AFTER, "1"))
        }
        ScrapeFailure::Hook | ScrapeFailure::Timeout => None,
        ScrapeFailure::Panic => failed("publishing metrics panicked\n"),
        ScrapeFailure::Thread => failed("cannot start a thread to publish metrics\n"),
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<ScrapeBody> {
    let mut response = Response::new(ScrapeBody::of(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    with(response, CONTENT_TYPE_HEADER, "text/plain; charset=utf-8")
}

fn with(
    mut response: Response<ScrapeBody>,
    name: HeaderName,
    value: &'static str,
) -> Response<ScrapeBody> {
    let value = HeaderValue::from_static(value);
    response.headers_mut().insert(name, value);
    response
}
