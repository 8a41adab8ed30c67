use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::Route;
use crate::route::RouteSlot;

/// Returns a layer that names the route of a service for which no router reports a route.
///
/// axum reports no route inside `nest_service`, `route_service` of a nested service and
/// `fallback_service`. Without this layer their requests are reported as unmatched.
///
/// ```
/// use axum::Router;
/// # let files = tower::service_fn(|_: axum::extract::Request| async {
/// #     Ok::<_, std::convert::Infallible>(axum::response::Response::new(axum::body::Body::empty()))
/// # });
/// // files: tower_http::services::ServeDir::new("static")
/// let files = ops_http::route("/static/{*rest}").layer(files);
/// let router: Router = Router::new().nest_service("/static", files);
/// ```
pub fn route(template: impl Into<Arc<str>>) -> RouteLayer {
    RouteLayer {
        route: Route::new(template),
    }
}

/// Layer that names the route of the wrapped service; see [`route`].
///
/// The innermost layer wins, and each layer wins over the route of the router.
#[derive(Clone, Debug)]
pub struct RouteLayer {
    route: Route,
}

impl RouteLayer {
    /// Wraps the service. Same as [`Layer::layer`], without importing that trait.
    pub fn layer<S>(&self, inner: S) -> RouteService<S> {
        RouteService {
            inner,
            route: self.route.clone(),
        }
    }
}

impl<S> Layer<S> for RouteLayer {
    type Service = RouteService<S>;

    fn layer(&self, inner: S) -> RouteService<S> {
        self.layer(inner)
    }
}

/// Service returned by [`RouteLayer`].
#[derive(Clone, Debug)]
pub struct RouteService<S> {
    inner: S,
    route: Route,
}

impl<S, B, R> Service<Request<B>> for RouteService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = RouteFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        RouteSlot::fill(request.extensions(), &self.route);
        RouteFuture {
            inner: self.inner.call(request),
            route: self.route.clone(),
        }
    }
}

pin_project! {
    /// Response future of [`RouteService`].
    #[derive(Debug)]
    pub struct RouteFuture<F> {
        #[pin]
        inner: F,
        route: Route,
    }
}

impl<F, R, E> Future for RouteFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        response
            .extensions_mut()
            .get_or_insert_with(|| this.route.clone());
        Poll::Ready(Ok(response))
    }
}
