//! One tower layer that knows when a request started, ran and ended.
//!
//! The [`Layer`](tower_layer::Layer) follows a request from its first byte to the last byte of
//! the response body, and reports it to an [`Observe`]r. Logs, traces and metrics are observers:
//! they agree on the route, the status and the end, because these are determined in one place.
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
//!   ([`Ending::Panicked`]), if the client goes away ([`Ending::Aborted`], status 499 unless a 5xx was sent), and if
//!   the server gives the request up and marks it with [`cut_off`] ([`Ending::CutOff`], status 503 unless a status
//!   was sent).
//! - A response is [`Ending::Complete`] once the server was handed as many bytes as the exact size
//!   of the body, or else its `Content-Length`, declares (RFC 9112, section 6.2): servers drop
//!   such a body without polling for its end. A body of unknown length is complete once it ended,
//!   also with trailers. A body that ends before its declared length is [`Ending::Failed`]. So is a
//!   response whose `Content-Length` is invalid or not the exact size of its body, except that HTTP/1 servers correct the
//!   length of an empty body; over HTTP/2, where the client checks it, also a body that is longer than declared.
//! - A response without content (HEAD, 101, 204, 304, 2xx to CONNECT) is complete, although no server polls its body.
//!   Another 1xx status, or 101 over HTTP/2, cannot be sent as a response: the handler failed, and the server sends 500
//!   or resets the stream.
//! - HTTP/1.1 servers close the connection instead of sending a head with `Transfer-Encoding` and a length, which axum
//!   adds to a body of known size, or with an invalid `Content-Length` for a body of unknown size: the handler failed.
//! - If the reader closes a `text/event-stream` or `multipart/x-mixed-replace`
//!   of unknown length, the response is [`Ending::Complete`].
//! - A request body that breaks off is left to the handler. A client that closed
//!   the connection cannot be distinguished from one that closed only its sending
//!   half and still reads, so a response that was handed over counts as sent.
//! - A response whose body fails or panics is reported with the status that was sent; if no head was sent, with 500.
//! - The scope is entered around each poll, and around the drop, of handler and body.
//! - [`QUIET_ROUTES`] is the one list of probes and scrapes, [`known_method`] the one list of methods.
//!
//! # Routes
//!
//! With the feature `axum`, the route is the template that the router matched. If axum
//! mounts a service without a template (`nest_service`), name its route with [`route`].
//!
//! # gRPC
//!
//! With the feature `grpc`, a POST of `application/grpc` is a call. [`Outcome::grpc`] has its
//! status, from the trailers or from a head without a body; [`GrpcEnd`] defines the status of
//! a call for which none was sent. The HTTP fields are not changed: a failed call has the HTTP
//! status 200. gRPC-Web sends its status in the body and is treated as a plain HTTP request.
//!
//! # Feature flags
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `axum` | no | the route template from axum's `MatchedPath` |
//! | `grpc` | no | gRPC calls, recognized by their content type: method and status ([`Outcome::grpc`]) |
//!
//! # When not to use it
//!
//! For middleware that changes requests or responds to them; observers may only add
//! headers and extensions. Connection upgrades are observed until their `101` response.

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
mod pooled_box;
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
