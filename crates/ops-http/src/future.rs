use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use http::{Method, Response, request};
use http_body::Body;
use pin_project_lite::pin_project;

use crate::{Ending, Observe, ObserveBody, Outcome, Route};

pin_project! {
    /// The response future of [`ObserveService`](crate::ObserveService).
    pub struct ObserveFuture<F, O: Observe> {
        #[pin]
        inner: Option<F>,
        watch: Option<Watch<O>>,
    }

    impl<F, O: Observe> PinnedDrop for ObserveFuture<F, O> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let Some(watch) = this.watch.as_mut() {
                watch.release(|| this.inner.set(None));
            }
        }
    }
}

impl<F, O: Observe> ObserveFuture<F, O> {
    pub(crate) fn new(inner: F, watch: Watch<O>) -> Self {
        Self {
            inner: Some(inner),
            watch: Some(watch),
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
        let Some(watch) = this.watch.as_mut() else {
            return Poll::Pending; // polled after it was ready: a contract that callers keep
        };
        let polled = watch.run(|| {
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
        let Some(mut watch) = this.watch.take() else {
            return Poll::Pending;
        };
        Poll::Ready(match result {
            Ok(response) => {
                let (mut parts, body) = response.into_parts();
                watch.response(&mut parts, &body);
                Ok(Response::from_parts(parts, ObserveBody::new(body, watch)))
            }
            Err(error) => {
                watch.finish(Ending::Failed);
                Err(error)
            }
        })
    }
}

/// One request under observation. Tells its observer the end when dropped, at the latest.
pub(crate) struct Watch<O: Observe> {
    observer: O,
    scope: Option<O::Scope>,
    started: Instant,
    /// Stays set when what runs inside panics: the unwinding skips the line that clears it.
    running: bool,
    /// Whether nothing is left to send: dropping the response then completes it.
    pub(crate) all_sent: bool,
    outcome: Outcome,
}

impl<O: Observe> Watch<O> {
    pub(crate) fn start(observer: O, request: &mut request::Parts) -> Self {
        let started = Instant::now();
        let method = request.method.clone();
        let route = Route::get(&request.extensions).cloned();
        let scope = observer.start(request);
        Self {
            observer,
            scope: Some(scope),
            started,
            running: false,
            all_sent: false,
            outcome: Outcome::new(method, route, 0, Ending::Aborted, std::time::Duration::ZERO),
        }
    }

    /// Runs part of the request in its scope.
    pub(crate) fn run<T>(&mut self, part: impl FnOnce() -> T) -> T {
        self.running = true;
        let result = match self.scope.as_mut() {
            Some(scope) => {
                let _entered = self.observer.enter(scope);
                part()
            }
            None => part(),
        };
        self.running = false;
        result
    }

    /// Drops a part of the request in its scope; a panic that happened before is not forgotten.
    pub(crate) fn release(&mut self, drop_part: impl FnOnce()) {
        if self.running {
            drop_part();
        } else {
            self.run(drop_part);
        }
    }

    fn response(&mut self, parts: &mut http::response::Parts, body: &impl Body) {
        let head_only = self.outcome.method == Method::HEAD
            || matches!(parts.status.as_u16(), 204 | 304)
            || parts.status.is_informational();
        self.all_sent = head_only || body.is_end_stream();
        self.outcome.streamed = !head_only && body.size_hint().exact().is_none();
        self.outcome.time_to_headers = Some(self.started.elapsed());
        self.outcome.status = parts.status.as_u16();
        if let Some(route) = Route::get(&parts.extensions) {
            self.outcome.route = Some(route.clone());
        }
        if let Some(scope) = self.scope.as_mut() {
            self.observer.response(scope, parts);
        }
    }

    pub(crate) fn sent(&mut self, bytes: u64) {
        self.outcome.body_bytes += bytes;
    }

    /// Tells the observer the end, once.
    pub(crate) fn finish(&mut self, ending: Ending) {
        let Some(scope) = self.scope.take() else {
            return;
        };
        self.outcome.ending = ending;
        self.outcome.elapsed = self.started.elapsed();
        match ending {
            Ending::Complete => {}
            Ending::Aborted => self.outcome.status = 499,
            Ending::Panicked | Ending::Failed => self.outcome.status = 500,
        }
        self.observer.end(scope, &self.outcome);
    }
}

impl<O: Observe> Drop for Watch<O> {
    fn drop(&mut self) {
        self.finish(match (self.running, self.all_sent) {
            (true, _) => Ending::Panicked,
            (false, true) => Ending::Complete,
            (false, false) => Ending::Aborted,
        });
    }
}
