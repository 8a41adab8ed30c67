use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::sync::mpsc;

/// Response body that continues as long as events arrive.
pub(super) struct Frames(mpsc::Receiver<Bytes>);

impl Frames {
    pub(super) fn new(events: mpsc::Receiver<Bytes>) -> Self {
        Self(events)
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let event = self.0.poll_recv(cx);
        event.map(|event| event.map(|bytes| Ok(Frame::data(bytes))))
    }
}
