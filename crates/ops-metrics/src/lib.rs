//! Typed Prometheus metrics with a cardinality guard, `/metrics` and sparkline rings.
//!
//! ```
//! use http::Method;
//! use ops_metrics::catalog::{duckdb_query_seconds, http_request_latency, http_requests_total};
//!
//! ops_metrics::labels! { enum Queue { Mail = "mail", Report = "report" } }
//! ops_metrics::define! { /** Jobs done. */ counter jobs_total { queue: Queue } }
//!
//! # fn main() -> Result<(), ops_metrics::Error> {
//! ops_metrics::init(ops_metrics::Config::new())?;
//! http_requests_total("/api/users", Method::GET, 200).inc();
//! http_request_latency("/api/users", Method::GET).observe(0.123);
//! let timer = duckdb_query_seconds("SELECT").start_timer();
//! drop(timer);
//! jobs_total(Queue::Mail).inc();
//! let text = ops_metrics::render()?;
//! assert!(text.contains(r#"http_requests_total{route="/api/users",method="GET",status="200"} 1"#));
//! assert!(text.contains(r#"jobs_total{queue="mail"} 1"#));
//! # Ok(()) }
//! ```
//!
//! # In a library
//!
//! Call the `metrics` macros, or declare metrics with [`define!`]. Nothing
//! needs to be installed: values counted before [`init`] are kept.
//!
//! # In an application
//!
//! Call [`init`] once, [`register`] your own catalogs, and respond to `GET /metrics` with [`serve`]. Metrics that other
//! crates record through the `metrics` facade appear too; under a name of the catalog they are counted in the catalog's
//! series. The buckets of their histograms are those of the unit in their description, or else of the unit at the end
//! of their name (`_bytes`, `_milliseconds`), or else of seconds.
//!
//! # In a test
//!
//! With the feature `testing` each test counts in its own `testing::Registry`, and asserts the changes.
//!
//! # Guarantees
//!
//! - `/metrics` is valid whatever other crates register: names, labels and types are checked when they are recorded.
//!   Refusals are counted in `ops_metrics_rejected_total{metric,reason}` and logged once for each key. If two metrics
//!   share a name, the first one registered is rendered.
//! - A label has at most [`LABEL_VALUES_MAX`] values for each metric, or the number set in [`Config`]; further values
//!   become `other`, in that label alone, are counted in `ops_metrics_overflow_total{metric,label}`, logged once as a
//!   warning, and listed by [`overflows`]. A metric has at most [`SERIES_MAX`] series; beyond that, new ones are
//!   `other` in every label. A value has at most [`LABEL_VALUE_BYTES_MAX`] bytes. The limits apply to the `metrics`
//!   facade too, which accepts 1000 metrics.
//! - Counters and histograms of the catalog are atomics: no increment is lost, and `_count` equals `+Inf`.
//! - Non-finite and negative observations, and numbers above `i64::MAX` for counters (negative ones that were cast), are
//!   refused and counted in `ops_metrics_rejected_total{metric,reason}`.
//! - Counting in an existing series allocates nothing and takes no lock. With 3 labels that are `&'static str`, enums,
//!   methods or statuses it reads no text: 15 ns, where the `metrics` macro takes 270 ns (`benches/ratios.rs`).
//! - `/metrics` is OpenMetrics 1.0 for clients that ask for it, such as Prometheus, otherwise
//!   the text format 0.0.4: the same series with the same names and labels. OpenMetrics adds
//!   units, and exemplars if [`set_exemplar_source`] was called.
//! - 100,000 lines render in 9 ms. A scrape writes 64 KiB at a time, as they are read: it holds one such piece (256 KiB
//!   for the first one) and 8 bytes for each series of one metric.
//!
//! # Errors
//!
//! [`init`] fails if it was called before, if another crate installed a `metrics`
//! recorder, or if a configured limit is invalid. A retry does not help.
//!
//! # Feature flags
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `grpc` | no | durations of gRPC calls by method and status; turns on `http` |
//! | `gzip` | yes | compressed responses of `/metrics` for clients that accept them |
//! | `http` | no | `http::RedMetrics`, which observes requests through ops-http |
//! | `rules` | no | `slo!` and `rules`: recording rules, burn-rate alerts, a dashboard and test cases of any catalog |
//! | `testing` | no | `testing`: a registry for each test, snapshots and their differences |
//!
//! # When not to use it
//!
//! For native histograms, which need the protobuf format. For metrics that should disappear with the object they
//! measure: a series stays until the process ends.

mod builtin;
mod config;
mod error;
mod history;
mod init;
mod recorder;
#[cfg(feature = "rules")]
mod rules;
mod scrape;
mod series;

#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "http")]
mod rpc;
#[cfg(feature = "testing")]
pub mod testing;

/// Built-in metrics: one function each.
pub mod catalog {
    pub use crate::builtin::*;
}

pub use builtin::{CATALOG, ScrapeFailure};
pub use config::Config;
pub use error::{Error, ErrorKind};
pub use history::interval::add_sparkline;
pub use history::panics::panics;
pub use history::routes::RouteSummary;
pub use history::runtime::observe_runtime;
pub use history::sparkline::{
    SPARKLINE_SECONDS, Sparkline, Window, history_seconds, latency_over, routes_over, sparklines,
    sparklines_over,
};
pub use history::ticker::before_tick;
pub use init::{init, is_installed};
#[cfg(feature = "rules")]
pub use rules::{Rules, Slo, rules};
pub use scrape::body::ScrapeBody;
pub use scrape::read::{Reading, SeriesReading, read};
pub use scrape::render::{before_scrape, render};
pub use scrape::service::{CONTENT_TYPE, CONTENT_TYPE_OPEN_METRICS, serve};
pub use series::cardinality::{Cardinality, Overflow, cardinality, overflows};
pub use series::definition::{Kind, LabelDefinition, MetricDefinition};
pub use series::distribution::Distribution;
pub use series::exemplar::{TraceId, set_exemplar_source};
pub use series::family::Family;
pub use series::guard::{LABEL_VALUE_BYTES_MAX, LABEL_VALUES_MAX, SERIES_MAX};
pub use series::label::{Label, LabelId};
pub use series::registry::{families, register};
pub use series::rejected::RejectReason;
pub use series::value::{Counter, Gauge, Histogram, Seconds, Timer};

#[cfg(all(doctest, feature = "testing"))]
#[doc = include_str!("../README.md")]
struct Readme;
