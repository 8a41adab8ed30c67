use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use crate::guard::RequestGuard;
use crate::pooled_box::PooledBox;
use crate::{Ending, Observe, ObserveBody};

pin_project! {
    /// Response future of [`ObserveService`](crate::ObserveService).
    pub struct ObserveFuture<F, O: Observe> {
        #[pin]
        inner: Option<F>,
        guard: Option<PooledBox<RequestGuard<O>>>,
    }

    impl<F, O: Observe> PinnedDrop for ObserveFuture<F, O> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let Some(guard) = this.guard.as_mut().and_then(PooledBox::get) {
                guard.drop_in_scope(|| this.inner.set(None));
            }
        }
    }
}

impl<F, O: Observe> ObserveFuture<F, O> {
    pub(crate) fn new(inner: F, guard: RequestGuard<O>) -> Self {
        Self {
            inner: Some(inner),
            guard: Some(PooledBox::new(guard)),
        }
    }
}

impl<F, O, R, E> Future for ObserveFuture<F, O>
where
    F: Future<Output = Result<Response<R>, E>>,
    O: Observe,
    R: Body,
{
    type Output = Result<Response<ObserveBody<R, O>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(guard) = this.guard.as_mut().and_then(PooledBox::get) else {
            return Poll::Pending; // polled after it was ready, which callers must not do
        };
        let polled = guard.in_scope(|| {
            let poll = this.inner.as_mut().as_pin_mut()?.poll(cx);
            if poll.is_ready() {
                this.inner.set(None);
            }
            Some(poll)
        });
        let Some(poll) = polled else {
            return Poll::Pending;
        };
        let result = ready!(poll);
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                guard.finish(Ending::Failed);
                return Poll::Ready(Err(error));
            }
        };
        let (mut parts, body) = response.into_parts();
        guard.record_head(&mut parts, &body);
        Poll::Ready(match this.guard.take() {
            Some(guard) => Ok(Response::from_parts(parts, ObserveBody::new(body, guard))),
            None => return Poll::Pending,
        })
    }
}
