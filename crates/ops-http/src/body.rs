use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::guard::RequestGuard;
use crate::pooled_box::PooledBox;
use crate::{Ending, Observe};

pin_project! {
    /// Response body of [`ObserveService`](crate::ObserveService): the request ends when the body ends.
    pub struct ObserveBody<B, O: Observe> {
        #[pin]
        inner: Option<B>,
        guard: PooledBox<RequestGuard<O>>,
    }

    impl<B, O: Observe> PinnedDrop for ObserveBody<B, O> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let (true, Some(guard)) = (this.inner.is_some(), this.guard.get()) {
                guard.drop_in_scope(|| this.inner.set(None));
            }
        }
    }
}

impl<B, O: Observe> ObserveBody<B, O> {
    pub(crate) fn new(inner: B, guard: PooledBox<RequestGuard<O>>) -> Self {
        Self {
            inner: Some(inner),
            guard,
        }
    }
}

impl<B: Body, O: Observe> Body for ObserveBody<B, O> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let mut this = self.project();
        let Some(guard) = this.guard.get() else {
            return Poll::Ready(None);
        };
        let (inner, mut is_last) = (&mut this.inner, true);
        let polled = guard.in_scope(|| {
            let mut body = inner.as_mut().as_pin_mut()?;
            let frame = body.as_mut().poll_frame(cx);
            is_last = match &frame {
                Poll::Ready(Some(Ok(_))) => body.is_end_stream(),
                Poll::Ready(None) => true,
                _ => false,
            };
            if is_last {
                inner.set(None); // values that the body owns are dropped in the scope too
            }
            Some(frame)
        });
        let frame = ready!(polled.unwrap_or(Poll::Ready(None)));
        match &frame {
            Some(Ok(frame)) => guard.count_frame(frame, is_last),
            Some(Err(_)) => guard.finish(Ending::Failed),
            None => guard.body_ended(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B, O: Observe> fmt::Debug for ObserveBody<B, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObserveBody").finish_non_exhaustive()
    }
}
