//! What it means that a request began, ran and ended.
//!
//! One tower [`Layer`](tower_layer::Layer) watches a request from its first byte to the last byte of the
//! response body, and tells it to an [`Observe`]r. Logs, traces and metrics are observers: they agree on
//! the route, the status and the end, because one place decides them.
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
//!         assert_eq!(outcome.status, 200);
//!         self.0.fetch_add(1, Ordering::Relaxed);
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
//! # What is promised
//!
//! - [`Observe::end`] is called exactly once for each [`Observe::start`], also when the handler panics
//!   ([`Ending::Panicked`], status 500) and when the client goes away ([`Ending::Aborted`], status 499).
//! - A response that needs no body (HEAD, 204, 304, an empty or wholly sent one) is complete, although the
//!   server never polls it to its end.
//! - The scope is entered around each poll, and around the drop, of handler and body.
//!
//! # Feature flags
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `axum` | no | the route template from axum's `MatchedPath` |
//!
//! # When not to use it
//!
//! For a middleware that changes requests or answers them; an observer only looks on. Connection upgrades
//! are seen until their `101` response.

mod body;
mod future;
mod layer;
mod observe;
mod route;

pub use body::ObserveBody;
pub use future::ObserveFuture;
pub use layer::{ObserveLayer, ObserveService};
pub use observe::{Ending, Observe, Outcome};
pub use route::Route;
