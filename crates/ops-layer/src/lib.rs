//! The operations layer in two lines: secrets, logs, traces, metrics and caching, wired.
//!
//! ```no_run
//! # #[cfg(feature = "full")]
//! # async fn start() -> Result<(), ops_layer::Error> {
//! let ops = ops_layer::init(ops_layer::Config::new("kearney-platform-api"))?;
//! let app: axum::Router = axum::Router::new().layer(ops.http());
//! # let _ = app;
//! ops.shutdown(std::time::Duration::from_secs(25)).await;
//! # Ok(()) }
//! ```
//!
//! Each crate stands alone too; this one only introduces them to each other:
//!
//! - one route template on the log line, the span and the metrics of a request, and the span's trace id on each line;
//! - a query of the cache becomes a span and, unless it was a hit, an observation of `duckdb_query_seconds`;
//! - resolved secrets of 8 bytes and more are scrubbed from log lines and span attributes (feature `log`);
//! - `get_secret`, `get_cache` and `#[cached_query]` ask the parts that [`init`] made;
//! - what each crate counts is published before each scrape.
//!
//! # Feature flags
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `log` | yes | structured logging ([`log`]) |
//! | `trace` | yes | OpenTelemetry spans ([`trace`]) |
//! | `metrics` | yes | Prometheus metrics ([`metrics`]) |
//! | `secrets` | yes | secrets from the environment and `.env` ([`secrets`]) |
//! | `admin` | yes | the admin page ([`admin`]) |
//! | `aws` | no | secrets from AWS SSM and Secrets Manager |
//! | `cache` | no | query results and HTTP caching |
//! | `duckdb` | no | the DuckDB warehouse, linked to a libduckdb that is there |
//! | `duckdb-bundled` | no | the same, compiling DuckDB (about 25 minutes on two cores) |
//! | `full` | no | all of them but `duckdb-bundled` |
//!
//! # When not to use it
//!
//! When one crate is all that you need: depend on that crate.

mod config;
mod error;
mod glue;
mod ops;
#[cfg(all(doctest, feature = "full"))]
mod readme;
mod spawn;
mod stop;

pub use config::Config;
pub use error::Error;
#[cfg(all(feature = "log", feature = "trace", feature = "metrics"))]
pub use ops::Observers;
pub use ops::{Ops, init};
pub use spawn::{spawn, spawn_blocking};
pub use stop::StopSignal;
pub use tokio::task::JoinHandle;

#[cfg(feature = "cache")]
pub use data_cache as cache;
#[cfg(feature = "admin")]
pub use ops_admin as admin;
pub use ops_http as http;
#[cfg(feature = "log")]
pub use ops_log as log;
#[cfg(feature = "metrics")]
pub use ops_metrics as metrics;
#[cfg(feature = "secrets")]
pub use ops_secrets as secrets;
#[cfg(feature = "trace")]
pub use ops_trace as trace;
