//! The operations layer in one call: secrets, logs, traces, metrics and caching, and the service around them.
//!
//! ```no_run
//! # #[cfg(feature = "serve")]
//! # mod example {
//! use axum::{Router, routing::get};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), ops_layer::Error> {
//!     let app = Router::new().route("/hello", get(|| async { "hello\n" }));
//!     ops_layer::serve("hello", app).await
//! }
//! # }
//! ```
//!
//! [`Service`] lists what that includes. [`init`] returns [`Ops`], with access to the parts, and [`Ops::serve`]
//! serves with it; [`run`] is for jobs without HTTP; for your own server use [`Ops::http`], a tower layer.
//!
//! Each crate also works alone; this one only connects them:
//!
//! - the log line, the span and the metrics of a request have the
//!   same route template, and each line has the span's trace id;
//! - spans of libraries that use `tracing` become spans of ops-trace,
//!   with the right parents; see [`trace::tracing_layer`];
//! - [`spawn`], [`spawn_blocking`], [`spawn_thread`], [`carry`],
//!   [`with_context`] and [`Carried`] carry log context and span along;
//! - a query of the cache becomes a span and, unless it was a hit, an observation of `duckdb_query_seconds`;
//! - resolved secrets of 8 bytes and more are redacted in log lines and span attributes (feature `log`);
//! - `get_secret`, `get_cache` and `#[cached_query]` use the parts that [`init`] created;
//! - the totals of each crate are published before each scrape.
//!
//! # Feature flags
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `log` | yes | structured logging ([`log`]) |
//! | `trace` | yes | OpenTelemetry spans ([`trace`]) |
//! | `metrics` | yes | Prometheus metrics ([`metrics`]) |
//! | `secrets` | yes | secrets from the environment, files and `.env` ([`secrets`]) |
//! | `admin` | yes | the admin page ([`admin`]) |
//! | `serve` | yes | [`serve`] and [`run`]: the server for HTTP/1.1 and HTTP/2, probes, limits, ordered shutdown |
//! | `aws` | no | secrets from AWS SSM and Secrets Manager |
//! | `cache` | no | query results and HTTP caching |
//! | `black-box` | no | the last seconds in a file that survives a crash, if `OPS_BLACK_BOX` names one ([`black_box`]) |
//! | `history` | no | lines, spans and metrics of the last day as Parquet files, if `OPS_HISTORY_DIR` names a directory; with `duckdb`, SQL over them ([`history`]) |
//! | `history-s3` | no | histories in an S3 bucket: fetch them to query them, and export them ([`history::s3`]) |
//! | `duckdb` | no | the DuckDB warehouse, linked to an existing libduckdb |
//! | `duckdb-bundled` | no | the same, compiling DuckDB (about 25 minutes on two cores) |
//! | `flight-sql` | no | a server that speaks Arrow Flight SQL as the engine behind the cache (`ops_layer::cache::FlightSql`) |
//! | `shared` | no | results that machines share through an S3 bucket (section `shared` of cache.yaml, or `Config::shared`) |
//! | `grpc` | no | gRPC: tonic services beside the routes, their calls in spans, lines and metrics, the health service |
//! | `gzip` | no | compressed responses of `/metrics`, and compressed exports with `OTEL_EXPORTER_OTLP_COMPRESSION=gzip` |
//! | `tls` | no | collectors behind `https`; without it such an endpoint is refused, with a hint |
//! | `otlp-logs` | no | export of log lines by OTLP with `OTEL_LOGS_EXPORTER=otlp` |
//! | `otlp-metrics` | no | export of metrics by OTLP with `OTEL_METRICS_EXPORTER=otlp` |
//! | `profile` | no | CPU profiles of the running process on the admin page, if `OPS_ADMIN_PROFILE=on` and with its token |
//! | `testing` | no | separate lines, spans, metrics and secrets for each test (`examples/tests.rs`) |
//! | `full` | no | all of them except `duckdb-bundled`, `flight-sql`, `history-s3`, `shared` and `testing` |
//!
//! # When not to use it
//!
//! If one crate is all that you need, depend on that crate.

mod config;
mod error;
mod features;
mod file;
mod findings;
mod glue;
#[cfg(any(feature = "metrics", feature = "serve"))]
mod limited;
mod ops;
mod probe;
#[cfg(feature = "serve")]
mod serve;
mod spawn;
mod stop;
mod thread;
mod variables;

pub use config::Config;
pub use error::Error;
pub use findings::{Finding, Severity};
pub use ops::{ClientObservers, Observers, Ops, diagnose, init};
pub use probe::diagnose_disk;
#[cfg(feature = "trace")]
pub use probe::diagnose_export;
#[cfg(feature = "secrets")]
pub use probe::diagnose_secrets;
#[cfg(feature = "serve")]
pub use serve::{Addresses, Health, Service, run, serve};
pub use spawn::{Carried, carry, spawn, spawn_blocking, spawn_thread, with_context};
pub use stop::StopSignal;
pub use tokio::task::JoinHandle;

#[cfg(feature = "cache")]
pub use data_cache as cache;
#[cfg(feature = "admin")]
pub use ops_admin as admin;
#[cfg(feature = "black-box")]
pub use ops_black_box as black_box;
#[cfg(feature = "history")]
pub use ops_history as history;
pub use ops_http as http;
#[cfg(feature = "log")]
pub use ops_log as log;
#[cfg(feature = "metrics")]
pub use ops_metrics as metrics;
#[cfg(feature = "secrets")]
pub use ops_secrets as secrets;
#[cfg(feature = "trace")]
pub use ops_trace as trace;

#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../README.md")]
struct Readme;
