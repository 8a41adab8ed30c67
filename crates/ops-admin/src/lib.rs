//! The admin page and the operational endpoints: health, readiness, log level, recent logs and traces,
//! metrics, secrets and caches, on a listener of their own.
//!
//! ```
//! use ops_admin::Admin;
//!
//! let admin = Admin::new("kearney-platform-api").readiness(|| async { None }); // None: ready
//! let router: axum::Router = admin.router(); // serve it on loopback
//! # let _ = router;
//! assert!(Admin::new("api").service().contains("api"));
//! ```
//!
//! # Routes
//!
//! | route | answers |
//! |---|---|
//! | `GET /` | the page |
//! | `GET /healthz`, `/livez` | 200 while the process serves |
//! | `GET /readyz` | 200, or 503 with the reason; with `?verbose` each check and each finding, a line each |
//! | `GET /api/state` | what the page shows, as JSON |
//! | `GET /metrics` | the Prometheus exposition (feature `metrics`) |
//! | `POST /api/level` | `{"level", "why", "target"?, "ttl_seconds"?, "who"?}`: changes the log level, for 900 s or `ttl_seconds` (feature `log`) |
//!
//! # Guarantees
//!
//! - Requests whose `Host` is neither loopback nor allowed by [`Admin::allow_host`] are refused with 403, and
//!   so are writes without the header `x-ops-admin`: a page from elsewhere can neither read nor change.
//! - Requests that do not name exactly one host (RFC 9112, section 3.2) are refused with 400, with a token too: none, two,
//!   a malformed one, one with a user, or a target in absolute form that names another one.
//! - With a [token](Admin::token) every route but `/healthz` needs it. It is compared in constant time, and an address that
//!   guesses is refused for a minute.
//! - No answer may be kept by a cache (`no-store`), or be taken for another type (`nosniff`).
//! - It reads the crates' public snapshots, and writes only when a person asks.
//!
//! # Feature flags
//!
//! | feature | default | shows |
//! |---|---|---|
//! | `log` | yes | level, recent lines, line counts |
//! | `trace` | yes | recent, slow and failed traces, export counts |
//! | `metrics` | yes | `/metrics`, sparklines |
//! | `secrets` | yes | source, age and problems of each secret, never a value |
//! | `cache` | no | entries, hit ratio, top queries |
//!
//! # When not to use it
//!
//! On a public address without a [token](Admin::token): it has no accounts. Put it on loopback, or behind a proxy that
//! authenticates.

mod admin;
mod check;
mod finding;
mod guard;
#[cfg(feature = "log")]
mod level;
mod page;
mod state;
mod token;

pub use admin::Admin;
pub use check::Check;
pub use finding::{Finding, Severity};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
