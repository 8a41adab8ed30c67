//! One tower layer that knows when a request began, ran and ended.
//!
//! The [`Layer`](tower_layer::Layer) follows a request from its first byte to the last byte of the response body, and
//! reports it to an [`Observe`]r. Logs, traces and metrics are observers: they agree on the route, the status and
//! the end, because one place decides them.
//!
//! ```
//! use ops_http::{Observe, ObserveLayer, Outcome};
//! use std::sync::{Arc, atomic::{AtomicUsize, Ordering}};
//!
//! #[derive(Clone, Default)]
//! struct Count(Arc<AtomicUsize>);
//!
//! impl Observe for Count {
//!     type Scope = ();
//!     type Entered<'a> = ();
//!     fn start(&self, _: &mut http::request::Parts) {}
//!     fn enter<'a>(&'a self, _: &'a mut ()) {}
//!     fn response(&self, _: &mut (), _: &mut http::response::Parts) {}
//!     fn end(&self, _: (), outcome: &Outcome) {
//!         if outcome.status == 200 {
//!             self.0.fetch_add(1, Ordering::Relaxed);
//!         }
//!     }
//! }
//!
//! let count = Count::default();
//! let layer = ObserveLayer::new((count.clone(),)); // a tuple of observers is an observer
//! # use tower::{Layer, ServiceExt};
//! let service = layer.layer(tower::service_fn(|_: http::Request<()>| async {
//!     Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
//! }));
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! drop(service.oneshot(http::Request::new(())).await);
//! # });
//! assert_eq!(count.0.load(Ordering::Relaxed), 1);
//! ```
//!
//! # Guarantees
//!
//! - [`Observe::end`] is called exactly once for each [`Observe::start`], also if the handler panics
//!   ([`Ending::Panicked`]), if the client goes away ([`Ending::Aborted`], status 499), and if the server gives it up
//!   ([`Ending::CutOff`], status 503 unless one was sent), which it tells by [`cut_off`].
//! - A response is [`Ending::Complete`] once as many bytes were handed to the server as the exact size of its body, or
//!   else its `Content-Length`, declares (RFC 9112, section 6.2): servers drop such a body without asking for its end.
//!   A body of unknown length is complete once it ended, by its trailers too. One that ends before its declared length
//!   is [`Ending::Failed`].
//! - A response that has no content (HEAD, 1xx, 204, 304, 2xx to CONNECT) is complete, although no server polls it.
//! - A reader that closes a `text/event-stream` or `multipart/x-mixed-replace` of unknown length ends it: [`Ending::Complete`].
//! - A request body that breaks off is the handler's to answer. A client that closed the connection looks like one that closed
//!   its half and reads on, so that an answer that was handed over counts as sent.
//! - The status of a response whose body fails or panics is the one that was sent; without a head it is 500.
//! - The scope is entered around each poll, and around the drop, of handler and body.
//! - Probes and scrapes have one list, [`QUIET_ROUTES`], and methods another one, [`known_method`].
//!
//! # Routes
//!
//! With the feature `axum`, the route is the template that the router matched. For a service that axum mounts without
//! one (`nest_service`), name it by [`route`].
//!
//! # gRPC
//!
//! With the feature `grpc`, a POST of `application/grpc` is a call. [`Outcome::grpc`] has its status, from the trailers or from a
//! head without a body; [`GrpcEnd`] says what a call without a status is. The parts for HTTP stay as they are: a call that failed
//! has HTTP's status 200. gRPC-Web has its status in the body and is an HTTP request like others.
//!
//! # Feature flags
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `axum` | no | the route template from axum's `MatchedPath` |
//! | `grpc` | no | calls of gRPC, by their content type: method and status ([`Outcome::grpc`]) |
//!
//! # When not to use it
//!
//! For a middleware that changes requests or answers them; an observer only looks on. Connection upgrades
//! are observed until their `101` response.

mod body;
mod call;
mod client;
mod cut_off;
mod future;
mod grpc;
mod guard;
mod header_value;
mod layer;
mod length;
mod method;
mod observe;
mod outcome;
mod place;
mod quiet;
mod route;
mod route_layer;

pub use body::ObserveBody;
pub use client::{ClientFuture, ClientLayer, ClientService};
pub use cut_off::cut_off;
pub use future::ObserveFuture;
pub use grpc::{
    GrpcCode, GrpcEnd, QUIET_CALLS, RefusedCall, grpc_method, is_grpc_call, known_grpc_method,
};
pub use header_value::header_value;
pub use layer::{ObserveLayer, ObserveService};
pub use method::{known_method, refused_methods};
pub use observe::Observe;
pub use outcome::{Ending, Outcome};
pub use quiet::{QUIET_ROUTES, is_quiet};
pub use route::Route;
pub use route_layer::{RouteFuture, RouteLayer, RouteService, route};

#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../README.md")]
struct Readme;
