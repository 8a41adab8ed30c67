use std::task::{Context, Poll};

use axum::body::Body;
use http::Request;
use tower_service::Service;

/// Tonic service that accepts axum's bodies.
#[derive(Clone)]
pub(super) struct Mounted<S>(pub(super) S);

impl<S> Service<Request<Body>> for Mounted<S>
where
    S: Service<Request<tonic::body::Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> S::Future {
        self.0.call(request.map(tonic::body::Body::new))
    }
}
