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
//! ops_metrics::install(ops_metrics::Config::new())?;
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
//! Call the `metrics` macros, or declare your own with [`define!`]. Nothing needs to be installed: what is
//! counted before [`install`] is there afterwards.
//!
//! # In an application
//!
//! [`install`] once, [`register`] your own catalogues, answer `GET /metrics` with [`serve`]. What other crates
//! count through the `metrics` facade appears too; a name of the catalogue lands in the catalogue's series.
//!
//! # Guarantees
//!
//! - A label has at most [`LABEL_VALUES_MAX`] values for each metric; the next ones become `other`, in that label
//!   alone, and are counted in `ops_metrics_overflow_total{metric,label}`.
//! - Counters and histograms of the catalogue are atomics: no increment is lost, and `_count` equals `+Inf`.
//! - Non-finite and negative observations are refused and counted in `ops_metrics_rejected_total{metric}`.
//! - Incrementing a series that exists allocates nothing.
//! - One render at a time: scrapes that arrive while one waits to start share its result.
//!
//! # Errors
//!
//! [`install`] twice gives the same metrics; it fails if another crate installed a `metrics` recorder. Retrying does
//! not help.
//!
//! # Feature flags
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `http` | no | [`http::RedMetrics`](crate::http::RedMetrics), which observes requests through ops-http |
//!
//! # When not to use it
//!
//! For exemplars, OpenMetrics or native histograms: this renders the text format 0.0.4 only.

mod catalogue;
mod define;
mod error;
mod exposition;
mod family;
mod install;
mod label;
mod process;
mod recorder;
mod rejected;
mod service;
mod sparkline;
mod value;

pub mod catalog;
#[cfg(feature = "http")]
pub mod http;

pub use catalog::CATALOGUE;
pub use catalogue::{all, register};
pub use error::Error;
pub use family::{
    Definition, Family, Kind, LABEL_VALUES_MAX, LabelDefinition, Overflow, overflows,
};
pub use install::{Config, before_scrape, install, is_installed, render};
pub use label::Label;
pub use service::{CONTENT_TYPE, serve};
pub use sparkline::{SPARKLINE_SECONDS, Sparkline, sparklines};
pub use value::{Counter, Gauge, Histogram, Timer};
