//! Body that follows a script and records what happened to it.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::body::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Data(Bytes),
    /// Not ready at the first poll.
    Wait,
    Trailers,
    Fail,
    Panic,
    /// Never ready again.
    Hang,
}

/// Record of what a server took from a body.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) bytes: u64,
    /// Set once the end was reported, in any way.
    pub(crate) ended: bool,
    pub(crate) failed: bool,
    pub(crate) panicked: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) steps: VecDeque<Step>,
    /// Declares this length.
    pub(crate) exact: Option<u64>,
    /// Reports with its last frame that it is the last one.
    pub(crate) reports_last: bool,
    pub(crate) taken: Arc<Mutex<Taken>>,
}

impl Script {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            steps: steps.into_iter().collect(),
            ..Self::default()
        }
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let step = self.steps.pop_front();
        if let Some(Step::Panic) = step {
            self.taken.lock().unwrap().panicked = true;
            // bypasses the panic hook, which would print
            std::panic::resume_unwind(Box::new("on purpose"));
        }
        if let Some(Step::Hang) = step {
            self.steps.push_front(Step::Hang);
        }
        let mut taken = self.taken.lock().unwrap();
        Poll::Ready(match step {
            Some(Step::Data(data)) => {
                taken.bytes += data.len() as u64;
                Some(Ok(Frame::data(data)))
            }
            Some(Step::Trailers) => {
                taken.ended = true;
                let trailers = [("x-checksum".parse().unwrap(), "1".parse().unwrap())];
                Some(Ok(Frame::trailers(HeaderMap::from_iter(trailers))))
            }
            Some(Step::Fail) => {
                taken.failed = true;
                Some(Err(io::Error::other("the disk is gone")))
            }
            Some(Step::Wait) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Some(Step::Hang | Step::Panic) => return Poll::Pending,
            None => {
                taken.ended = true;
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        let last = self.reports_last && self.steps.is_empty();
        if last {
            self.taken.lock().unwrap().ended = true;
        }
        last
    }

    fn size_hint(&self) -> SizeHint {
        self.exact.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}
