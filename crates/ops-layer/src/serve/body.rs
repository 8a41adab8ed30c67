use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::StatusCode;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Sleep;

use super::problem::problem;

/// Number of body bytes that extend the time limit by a second.
const BYTES_PER_SECOND: u32 = 16 * 1024;

/// Passes a request on with a time limit for its body; responds
/// with 408 if the handler returns an error after a late body.
pub(super) async fn in_time(allowed: Duration, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let late = Late::default();
    let request = request.map(|body| Body::new(LimitedBody::new(body, allowed, late.clone())));
    let response = next.run(request).await;
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    if late.is_set() && is_error {
        return problem(
            StatusCode::REQUEST_TIMEOUT,
            "the request body did not arrive in time",
        );
    }
    response
}

/// Request body with a time limit for its client.
///
/// Only the time counts in which the handler waits for bytes. Each 16 KiB that arrive add a
/// second, so a large upload may take long, but a client that sends a byte now and then may not.
struct LimitedBody {
    body: Body,
    allowed: Duration,
    /// Set during a wait.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    late: Late,
}

/// Flag that a body was late, in addition to the error that the handler gets.
#[derive(Clone, Default)]
struct Late(Arc<AtomicBool>);

impl Late {
    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl LimitedBody {
    fn new(body: Body, allowed: Duration, late: Late) -> Self {
        Self {
            body,
            allowed,
            waiting: None,
            late,
        }
    }

    fn arrived(&mut self, bytes: usize) {
        if let Some((since, _)) = self.waiting.take() {
            self.allowed = self.allowed.saturating_sub(since.elapsed());
        }
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.allowed += Duration::from_secs(1) * bytes / BYTES_PER_SECOND;
    }
}

impl HttpBody for LimitedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok());
            let bytes = bytes
                .and_then(|frame| frame.data_ref())
                .map_or(0, Bytes::len);
            this.arrived(bytes);
            return Poll::Ready(frame);
        }
        let allowed = this.allowed;
        let (_, alarm) = this
            .waiting
            .get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(allowed))));
        if alarm.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        this.late.0.store(true, Ordering::Relaxed);
        let late = std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            "the request body did not arrive in time",
        );
        Poll::Ready(Some(Err(axum::Error::new(late))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
