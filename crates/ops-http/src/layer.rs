use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use crate::guard::RequestGuard;
use crate::{Observe, ObserveBody, ObserveFuture};

/// Layer that reports each request to an [`Observe`]r.
///
/// In axum, add it with `Router::layer`, outside everything it should time. Routes are known there, and
/// requests that match no route are observed too. Inside a nested router (`nest`, `nest_service`) observers
/// see only the rest of the path after axum stripped the prefix, so add the layer to the outer router.
#[derive(Clone, Debug)]
pub struct ObserveLayer<O> {
    observer: O,
}

impl<O: Observe> ObserveLayer<O> {
    /// Returns a layer for this observer.
    pub fn new(observer: O) -> Self {
        Self { observer }
    }
}

impl<S, O: Observe> Layer<S> for ObserveLayer<O> {
    type Service = ObserveService<S, O>;

    fn layer(&self, inner: S) -> Self::Service {
        ObserveService {
            inner,
            observer: self.observer.clone(),
        }
    }
}

/// Service returned by [`ObserveLayer`].
#[derive(Clone, Debug)]
pub struct ObserveService<S, O> {
    inner: S,
    observer: O,
}

impl<S, O, B, R> Service<Request<B>> for ObserveService<S, O>
where
    S: Service<Request<B>, Response = Response<R>>,
    O: Observe,
    R: Body,
{
    type Response = Response<ObserveBody<R, O>>;
    type Error = S::Error;
    type Future = ObserveFuture<S::Future, O>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let mut guard = RequestGuard::start(self.observer.clone(), &mut parts);
        // the synchronous part of the handler runs in the scope too
        let future = guard.in_scope(|| self.inner.call(Request::from_parts(parts, body)));
        ObserveFuture::new(future, guard)
    }
}
