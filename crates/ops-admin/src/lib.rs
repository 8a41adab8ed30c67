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
//! | `GET /` | the page for browsers (`Accept: text/html`), else a summary as plain text |
//! | `GET /healthz`, `/livez` | 200 while the process serves |
//! | `GET /readyz` | 200, or 503 with the reason; with `?verbose` each check and each finding, a line each |
//! | `GET /api/state` | what the page shows, as one document with a `schema_version` |
//! | `GET /api/stream` | what changes, as server-sent events; 16 streams at a time |
//! | `GET /api/openapi.json` | the description of these routes, OpenAPI 3.1 |
//! | `GET /metrics` | the Prometheus exposition (feature `metrics`) |
//! | `GET /api/tiles`, `/api/routes` | numbers over `window=5m`, `1h` or `24h` (feature `metrics`) |
//! | `GET /api/traces`, `/api/traces/{id}` | recent traces; one with its spans, their attributes and its log lines (feature `trace`) |
//! | `GET /api/lines` | recent log lines, newest first: `level`, `text`, `trace_id`, `limit` (feature `log`) |
//! | `GET /debug/pprof/profile?seconds=10` | where the process spends processor time, for `pprof`: 1 to 30 s, one at a time; off unless [switched on](Admin::profile), and with a [token](Admin::token) only (feature `profile`) |
//! | `GET /api/history/{name}` | one of the questions of the [`History`], with `argument` |
//! | `POST /api/history/flush` | writes what waits for the history to files, and names their directory |
//! | `POST /api/sql` | `{"sql", "limit"?, "who"?}`: one SELECT over the history: 10 s, 1000 rows, one at a time; with a [token](Admin::token) only |
//! | `POST /api/level` | `{"level", "why", "target"?, "ttl_seconds"?, "who"?}`: changes the log level, for 900 s or `ttl_seconds` (feature `log`) |
//! | `POST /api/sampling` | `{"ratio", "why", "ttl_seconds"?, "who"?}`: changes the sampling ratio in the same way (feature `trace`) |
//! | `POST /api/level/revert`, `/api/sampling/revert` | takes such a change back before its time |
//! | `POST /api/cache/invalidate` | `{"pattern" or "table", "why", "who"?}`: removes entries of the cache (feature `cache`) |
//!
//! # Guarantees
//!
//! - Without a [token](Admin::token) requests whose `Host` is neither loopback nor allowed by [`Admin::allow_host`] are refused with
//!   403, and always so are writes without the header `x-ops-admin`: a page from elsewhere can neither read nor change.
//! - Scripts, images and frames of other pages are refused with 403 (`Sec-Fetch-Site`), so that none of them holds a stream.
//!   Links are followed.
//! - Requests that do not name exactly one host (RFC 9112, section 3.2) are refused with 400, with a token too: none, two,
//!   a malformed one, one with a user, or a target in absolute form that names another one.
//! - With a [token](Admin::token) every route but `/healthz` needs it. It is compared in constant time, and an address
//!   that guesses is refused for a minute, unless it is of this machine, or the server passes no addresses on
//!   (`into_make_service_with_connect_info`).
//! - No answer may be kept by a cache (`no-store`), or be taken for another type (`nosniff`).
//! - It reads the crates' public snapshots, and writes only when a person asks. A change needs a reason and is a line of the log,
//!   `admin_action`, at `info` or else at the first level that is written; a level and a ratio revert by themselves, after a day
//!   at the latest.
//! - Nothing is run or marked up that users send: the page's script and style come from its own origin, its policy allows no
//!   other, and texts are set as texts.
//! - While no page is open nothing is collected. An open one takes at most 3 KB a second on average; a reader that falls 32
//!   events behind is dropped.
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
//! | `shared` | no | the bucket that machines share results through |
//! | `profile` | no | CPU profiles, by the crate pprof; Unix only |
//!
//! # When not to use it
//!
//! On a public address without a [token](Admin::token): it has no accounts. Put it on loopback, or behind a proxy that
//! authenticates.

mod actions;
mod admin;
mod asked;
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
