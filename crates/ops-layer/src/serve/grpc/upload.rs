//! Messages of a client that broke off.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use http_body::{Body as HttpBody, Frame, SizeHint};

/// Records if the messages of a client break off: its stream is gone then, and it receives no response.
#[derive(Debug, Default)]
pub(in crate::serve) struct Upload(Arc<AtomicBool>);

impl Upload {
    /// Wraps the body of a call, to record if reading it fails.
    pub(in crate::serve) fn watch(&self, request: Request) -> Request {
        if request.body().is_end_stream() {
            return request;
        }
        let broke_off = Arc::clone(&self.0);
        request.map(|body| Body::new(Watched { body, broke_off }))
    }

    /// Returns `true` if reading the messages failed.
    pub(super) fn broke_off(&self) -> bool {
        self.0.load(Relaxed)
    }
}

pin_project_lite::pin_project! {
    struct Watched {
        #[pin]
        body: Body,
        broke_off: Arc<AtomicBool>,
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.project();
        let polled = this.body.poll_frame(cx);
        if matches!(polled, Poll::Ready(Some(Err(_)))) {
            this.broke_off.store(true, Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
