//! OpenTelemetry spans with an OTLP export that cannot hurt the service, and a ring of recent traces.
//!
//! ```
//! # fn run() -> Vec<u32> { vec![1, 2] }
//! # fn main() -> Result<(), ops_trace::Error> {
//! let tracer = ops_trace::init(ops_trace::Config::new("my-service"))?; // no collector is needed for this
//! let span = ops_trace::span!("query_database", table = "users", operation = "SELECT");
//! let id = span.in_scope(|span| {
//!     let rows = run();
//!     span.set_attribute("row_count", rows.len());
//!     ops_trace::get_current_trace_id()
//! });
//! assert_eq!(id.len(), 32);
//! assert_eq!(ops_trace::get_current_trace_id(), "no-trace");
//! # drop(tracer);
//! # Ok(())
//! # }
//! ```
//!
//! In a library, call [`span!`] and nothing else: before [`init`] it does nothing. In an application, [`init`]
//! once, keep the [`Tracer`], and await its [`shutdown`](Tracer::shutdown) last.
//!
//! # What is promised
//!
//! - [`init`] does no network work. Without a collector the application runs as with one.
//! - Ending a span neither waits nor does I/O. The queue is bounded; what does not fit is dropped.
//! - Each sampled span is counted once: `ended_sampled = exported + rejected + dropped + queued` ([`Stats`]),
//!   read while no export runs.
//! - An outage is one `tracing` event when it begins and one when it ends.
//! - [`shutdown`](Tracer::shutdown) returns within its budget, on any runtime.
//!
//! # Environment
//!
//! `OTEL_SERVICE_NAME`, `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`,
//! `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG`,
//! `OTEL_TRACES_EXPORTER` (`otlp`, `none`) and `OTEL_SDK_DISABLED`. What [`Config`] sets wins.
//!
//! # Feature flags
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `tls` | yes | `https` endpoints |
//! | `http` | no | `http::ServerSpans`, the observer for `ops-http` |
//! | `metrics` | no | `publish_metrics` |
//!
//! # When not to use it
//!
//! For tail sampling (do that in a collector), for gRPC export, or to export `tracing` spans.

mod breaker;
mod client;
mod config;
mod context;
mod endpoint;
mod error;
mod export;
mod gate;
#[cfg(feature = "http")]
pub mod http;
mod propagation;
#[cfg(feature = "metrics")]
mod publish;
mod ring;
mod sampling;
mod shared;
mod span;
mod stats;
mod tracer;
mod value;

pub use config::Config;
pub use context::{
    Instrumented, TraceContext, carry, current_ids, get_current_trace_id, spawn, spawn_blocking,
    with_trace_context,
};
pub use error::Error;
pub use propagation::{inject, inject_to};
#[cfg(feature = "metrics")]
pub use publish::publish_metrics;
pub use ring::{RecentSpan, RecentTrace, RecentTraces};
pub use span::{CompletedSpan, Entered, Span, completed_span, create_span};
pub use stats::Stats;
pub use tracer::{Tracer, collector_answers, init, init_tracer, recent, set_sampling_ratio, stats};
pub use value::{Value, set_attribute_filter};
