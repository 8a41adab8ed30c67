//! The admin page and the operational endpoints: health, readiness, log level,
//! recent logs and traces, metrics, secrets and caches, on a separate listener.
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
//! | route | response |
//! |---|---|
//! | `GET /` | the page for browsers (`Accept: text/html`), otherwise a summary as plain text |
//! | `GET /healthz`, `/livez` | 200 while the process serves |
//! | `GET /readyz` | 200, or 503 with the reason; with `?verbose` each check and each finding, a line each |
//! | `GET /api/state` | the content of the page, as one document with a `schema_version` |
//! | `GET /api/stream` | changes, as server-sent events; at most 16 streams |
//! | `GET /api/openapi.json` | the description of these routes, OpenAPI 3.1 |
//! | `GET /metrics` | the Prometheus exposition (feature `metrics`) |
//! | `GET /api/tiles`, `/api/routes` | numbers over `window=5m`, `1h` or `24h` (feature `metrics`) |
//! | `GET /api/traces`, `/api/traces/{id}` | recent traces; one with its spans, attributes and log lines (feature `trace`) |
//! | `GET /api/lines` | recent log lines, newest first: `level`, `text`, `trace_id`, `limit` (feature `log`) |
//! | `GET /debug/pprof/profile?seconds=10` | CPU profile for `pprof`: 1 to 30 s (feature `profile`) |
//! | `GET /api/history/{name}` | the result of one of the questions of the [`History`], with `argument` |
//! | `POST /api/history/flush` | writes pending records of the history to files, and returns their directory |
//! | `POST /api/sql` | one SELECT over the history: 10 s, 1000 rows, one at a time; only with a [token](Admin::token) |
//! | `POST /api/level` | changes the log level, for 900 s or `ttl_seconds` (feature `log`) |
//! | `POST /api/sampling` | changes the sampling ratio in the same way (feature `trace`) |
//! | `POST /api/level/revert`, `/api/sampling/revert` | reverts such a change early |
//! | `POST /api/cache/invalidate` | removes entries of the cache (feature `cache`) |
//!
//! Request bodies, in which `?` marks an optional field:
//!
//! - `/api/sql`: `{"sql", "limit"?, "who"?}`
//! - `/api/level`: `{"level", "why", "target"?, "ttl_seconds"?, "who"?}`
//! - `/api/sampling`: `{"ratio", "why", "ttl_seconds"?, "who"?}`
//! - `/api/level/revert`: `{"target"?, "who"?}`
//! - `/api/sampling/revert`: `{"who"?}`
//! - `/api/cache/invalidate`: `{"pattern" or "table", "why", "who"?}`
//! - `/api/history/flush`: `{}`
//!
//! A CPU profile shows where the process spends processor time. Profiles are taken one at a time,
//! are off unless [enabled](Admin::profile), and need a [token](Admin::token).
//!
//! # Guarantees
//!
//! - Without a [token](Admin::token), requests whose `Host` is neither loopback nor allowed
//!   by [`Admin::allow_host`] are refused with 403. Changes without the header `x-ops-admin`
//!   are always refused with 403. So a page from elsewhere can neither read nor change.
//! - Scripts, images and frames of other pages are refused with 403
//!   (`Sec-Fetch-Site`), so that none of them occupies a stream. Links are followed.
//! - Requests that do not name exactly one host (RFC 9112, section 3.2) are refused with 400, even with a
//!   token: no host, two, a malformed one, one with a user, or a target in absolute form with another one.
//! - With a [token](Admin::token), every route except `/healthz` needs it. It is compared in
//!   constant time, and an address that guesses is refused for a minute, unless it is a loopback
//!   address, or the server provides no addresses (`into_make_service_with_connect_info`).
//! - Responses must not be cached (`no-store`) or interpreted as another type (`nosniff`).
//! - It reads the crates' public snapshots, and writes only when a person requests it. A change
//!   needs a reason and is logged as `admin_action`, at `info` or otherwise at the first level
//!   that is written; a level and a ratio revert automatically, after a day at the latest.
//! - Content from users is neither executed nor interpreted as markup: the page's script and
//!   style come from its own origin, its policy allows no other, and texts are inserted as text.
//! - Nothing is collected once no page has been open for half a minute. An open page takes at most
//!   3 KB a second on average; a reader with more than 96 unread events is dropped.
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
//! | `shared` | no | the bucket through which machines share results |
//! | `profile` | no | CPU profiles, by the crate pprof; Unix only |
//!
//! # When not to use it
//!
//! On a public address without a [token](Admin::token): it has no
//! accounts. Serve it on loopback, or behind a proxy that authenticates.

mod actions;
mod admin;
mod audit;
mod check;
mod conditions;
mod finding;
mod guard;
mod history;
mod job;
mod last_run;
mod page;
#[cfg(feature = "profile")]
mod profile;
mod questions;
#[cfg(any(feature = "log", feature = "trace", feature = "metrics"))]
mod reads;
mod router;
mod setting;
mod state;
mod stream;
mod text;
mod token;

pub use admin::Admin;
pub use check::Check;
pub use finding::{Finding, Severity};
pub use history::{Ask, History, Rows, Statement};
pub use job::{Job, JobState, Phase};
pub use last_run::{LastRecord, LastRun};
pub use setting::Setting;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
