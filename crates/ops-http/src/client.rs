use std::error::Error;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::guard::RequestGuard;
use crate::{Observe, ObserveBody, ObserveFuture, Route};

/// Maximum number of causes that are searched for the kind of an error.
const MAX_CAUSES: usize = 16;

/// Client layer that reports each outgoing request to an [`Observe`]r.
///
/// Add it next to the client, inside retries and timeouts, so that each attempt is one request. A request ends with
/// its response body. [`Outcome::failure`](crate::Outcome::failure) has the kind of the client's error. A [`Route`]
/// in the extensions of a request is the template of its URL. If a served request is passed on, as proxies do, the
/// route that it matched here does not count: axum's `MatchedPath` is removed from its extensions (feature `axum`).
#[derive(Clone, Debug)]
pub struct ClientLayer<O> {
    observer: O,
}

impl<O: Observe> ClientLayer<O> {
    /// Returns a layer for this observer.
    pub fn new(observer: O) -> Self {
        Self { observer }
    }
}

impl<S, O: Observe> Layer<S> for ClientLayer<O> {
    type Service = ClientService<S, O>;

    fn layer(&self, inner: S) -> Self::Service {
        ClientService {
            inner,
            observer: self.observer.clone(),
        }
    }
}

/// Service returned by [`ClientLayer`].
#[derive(Clone, Debug)]
pub struct ClientService<S, O> {
    inner: S,
    observer: O,
}

impl<S, O, B, R> Service<Request<B>> for ClientService<S, O>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Error + 'static,
    O: Observe,
    R: Body,
{
    type Response = Response<ObserveBody<R, O>>;
    type Error = S::Error;
    type Future = ObserveFuture<ClientFuture<S::Future>, O>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        Route::remove_matched(&mut parts.extensions);
        let failure = Arc::default();
        let mut guard =
            RequestGuard::start_outgoing(self.observer.clone(), &mut parts, Arc::clone(&failure));
        let inner = guard.in_scope(|| self.inner.call(Request::from_parts(parts, body)));
        ObserveFuture::new(ClientFuture { inner, failure }, guard)
    }
}

/// Kind of a request's error, set once the request failed.
pub(crate) type Failure = Arc<OnceLock<&'static str>>;

pin_project! {
    /// Client future that records the kind of its error.
    #[derive(Debug)]
    pub struct ClientFuture<F> {
        #[pin]
        inner: F,
        failure: Failure,
    }
}

impl<F, R, E> Future for ClientFuture<F>
where
    F: Future<Output = Result<R, E>>,
    E: Error + 'static,
{
    type Output = Result<R, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let poll = this.inner.poll(cx);
        if let Poll::Ready(Err(error)) = &poll {
            let kind = io_kind(error).unwrap_or_else(std::any::type_name::<E>);
            let _ = this.failure.set(kind); // a future is ready once
        }
        poll
    }
}

/// Returns the kind of the operating system's error among the causes.
fn io_kind(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut next = Some(error);
    for _ in 0..MAX_CAUSES {
        let error = next?;
        if let Some(error) = error.downcast_ref::<io::Error>() {
            let name = name_of(error.kind()).or_else(|| name_without_kind(error));
            if name.is_some() {
                return name;
            }
        }
        next = error.source();
    }
    None
}

fn name_of(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::ConnectionRefused => "connection_refused",
        ErrorKind::ConnectionReset => "connection_reset",
        ErrorKind::ConnectionAborted => "connection_aborted",
        ErrorKind::NotConnected => "not_connected",
        ErrorKind::BrokenPipe => "broken_pipe",
        ErrorKind::UnexpectedEof => "unexpected_eof",
        ErrorKind::TimedOut => "timeout",
        ErrorKind::HostUnreachable => "host_unreachable",
        ErrorKind::NetworkUnreachable => "network_unreachable",
        ErrorKind::NetworkDown => "network_down",
        ErrorKind::AddrNotAvailable => "address_not_available",
        ErrorKind::PermissionDenied => "permission_denied",
        _ => return None,
    })
}

/// Names errors for which the standard library has no kind.
fn name_without_kind(error: &io::Error) -> Option<&'static str> {
    /// `ENFILE` and `EMFILE`, the same numbers on all Unix systems.
    const TOO_MANY_FILES: [i32; 2] = [23, 24];
    /// Error text of the standard library's resolver.
    const NOT_FOUND: &str = "failed to lookup address information";

    if let Some(number) = error.raw_os_error() {
        let too_many = cfg!(unix) && TOO_MANY_FILES.contains(&number);
        return too_many.then_some("too_many_open_files");
    }
    // `Display` may be third-party code, which may panic
    let text = catch_unwind(AssertUnwindSafe(|| error.to_string())).ok()?;
    match text.strip_prefix(NOT_FOUND)? {
        rest if rest.contains("Temporary failure") => Some("resolver_unavailable"),
        _ => Some("host_not_found"),
    }
}
