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
//! # In a library
//!
//! Use only [`span!`]: before [`init`] it does nothing, in a few nanoseconds, and does not evaluate its attributes.
//! Work that is known only afterwards, in a hook for instance, becomes a [`completed_span`].
//!
//! # In an application
//!
//! Call [`init`] once, keep the [`Tracer`], and await its [`shutdown`](Tracer::shutdown) last. Spawned work keeps its
//! span with [`spawn`], [`spawn_blocking`], [`spawn_thread`] or [`carry`], a message with [`Carried`]. Incoming
//! requests get their spans from `http::ServerSpans` or `instrument_axum`; outgoing requests get a span and the trace
//! context from `http::ClientSpans`, or only the trace context from [`inject_to`].
//!
//! # In a test
//!
//! [`Tracer::new`] creates a tracer for one test, which `span!(tracer: tracer, "name")`
//! uses, and `testing::Collector` receives its exports.
//!
//! # Guarantees
//!
//! - [`init`] does no network work. The application runs the same with and without a collector.
//! - Ending a span does no I/O, and allocates nothing once the queue has grown. The queue is
//!   bounded (2,048 spans); further spans are dropped and counted. Limits, the filter for
//!   secrets and the ring of recent traces run on the export thread.
//! - Each sampled span is counted once: `ended_sampled = exported + rejected + dropped + queued` ([`Stats`]).
//! - An outage is logged as one `tracing` event when it begins (after three failed batches) and one when it ends. In
//!   between the collector is tried again every 5 to 60 s.
//! - [`shutdown`](Tracer::shutdown) returns within its budget, on any runtime and without one.
//! - Memory is bounded: the queue, 4 MiB of recent traces, 4 KiB for each text, 128 attributes for each span, 16 MiB of
//!   traces that wait for a decision (`OPS_TRACE_KEEP`).
//! - [`recent`] includes failed and slow requests even if they are not sampled.
//! - Log lines and metrics (features `otlp-logs`, `otlp-metrics`) are sent by a separate thread, each with its own
//!   breaker and exact counts: `taken = exported + rejected + dropped + queued` ([`SignalStats`]). At most 4,096 lines
//!   and 8 MiB wait; a shutdown sends them and the last metrics.
//! - A peer that is not trusted decides neither the trace id nor what is sampled.
//!
//! # Errors
//!
//! [`Error`] names the invalid setting; a retry does not help. An invalid variable is not an error, unless it is an
//! endpoint: it is ignored, and one `variable_not_usable` event names it, its value, the accepted values and the value
//! used. After the start losses are counted and not returned as errors.
//!
//! # Environment
//!
//! Names are not case-sensitive; numbers out of range are ignored with a warning. Log lines and metrics are not
//! exported by default, because they are usually collected already.
//!
//! | variable | accepted |
//! |---|---|
//! | `OTEL_SDK_DISABLED` | `true`, `false` |
//! | `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` | text; `key=value,key=value`, percent-encoded |
//! | `OPS_RESOURCE_DETECTORS` | a list of `host`, `container`, `kubernetes`; `OTEL_RESOURCE_ATTRIBUTES` wins over them; `none` |
//! | `OTEL_TRACES_EXPORTER` | `none`, or a list of `otlp`, `console` |
//! | `OTEL_LOGS_EXPORTER` | `none` (default), `otlp` (feature `otlp-logs`), also in a list |
//! | `OTEL_METRICS_EXPORTER` | `none` (default), `otlp` (feature `otlp-metrics`), also in a list |
//! | `OTEL_METRIC_EXPORT_INTERVAL` | 100 to 3,600,000 ms, default 60,000 |
//! | `OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE` | `cumulative` (default), `delta`; `lowmemory` is `delta` |
//! | `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG` | the six of the specification; 0 to 1, with a ratio sampler |
//! | `OPS_TRACE_KEEP` | a list of `errors`, `slow`: traces that are exported even if the sampler dropped them; `none` |
//! | `OPS_TRACE_FILTER` | targets and levels of `tracing` spans, such as `info,sqlx=debug` (feature `tracing-spans`) |
//! | `OPS_TRACE_EVENTS` | `true`, `false` (feature `tracing-spans`) |
//! | `OTEL_PROPAGATORS` | `none`, or a list of `tracecontext`, `baggage`, `b3`, `b3multi`, `xray`; default `tracecontext` |
//! | `OTEL_EXPORTER_OTLP_ENDPOINT` | a URL; `/v1/traces`, `/v1/logs` or `/v1/metrics` is appended |
//! | `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` | a URL, used unchanged; like all with `TRACES_` also with `LOGS_` and `METRICS_` |
//! | `OTEL_EXPORTER_OTLP_HEADERS`, and with `TRACES_` | pairs |
//! | `OTEL_EXPORTER_OTLP_COMPRESSION`, `.._PROTOCOL`, and each with `TRACES_` | `gzip`, `none`; `http/protobuf` |
//! | `OTEL_EXPORTER_OTLP_TIMEOUT`, and with `TRACES_` | 10 to 60,000 ms; 0 for no limit |
//! | `OTEL_BSP_EXPORT_TIMEOUT`, `OTEL_BLRP_EXPORT_TIMEOUT`, `OTEL_METRIC_EXPORT_TIMEOUT` | as above, for spans, lines, metrics |
//! | `OTEL_EXPORTER_OTLP_CERTIFICATE`, and with `TRACES_`; `SSL_CERT_FILE` | PEM files of CA certificates; both replace Mozilla's |
//! | `OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE`, `.._CLIENT_KEY`, and each with `TRACES_` | PEM files, for mutual TLS |
//! | `HTTPS_PROXY`, `NO_PROXY` | a proxy with `CONNECT` for `https` endpoints; hosts, addresses, networks, `*` |
//! | `OTEL_BSP_SCHEDULE_DELAY`, and `OTEL_BLRP_` for log lines | 100 to 60,000 ms, default 1,000 |
//! | `OTEL_BSP_MAX_QUEUE_SIZE`, `.._MAX_EXPORT_BATCH_SIZE` | 64 to 65,536; 1 to the size of the queue |
//! | `OTEL_BLRP_MAX_QUEUE_SIZE`, `.._MAX_EXPORT_BATCH_SIZE` | 4,096 and 512 only; another number is logged as a warning |
//! | `OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT`, and with `SPAN_` | 0 to 4,096 characters |
//! | `OTEL_ATTRIBUTE_COUNT_LIMIT`, with `SPAN_`, with `EVENT_`, with `LINK_` | 0 to 128 |
//! | `OTEL_SPAN_EVENT_COUNT_LIMIT`, `OTEL_SPAN_LINK_COUNT_LIMIT` | 0 to 128 |
//! | `OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT`, or without `LOGRECORD_` | 0 to 1,000,000 characters; default no limit |
//! | `OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT`, or without `LOGRECORD_` | 0 to 1,000,000 fields; default no limit |
//! | `OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION` | `explicit_bucket_histogram` |
//! | `OTEL_METRICS_EXEMPLAR_FILTER` | `trace_based`; exemplars are on `/metrics` only |
//! | `OTEL_CONFIG_FILE` | none: files of the declarative configuration are not read |
//!
//! [`Config`] wins over variables, except for the service's name: `OTEL_SERVICE_NAME`, then `service.name` in
//! `OTEL_RESOURCE_ATTRIBUTES`, then the program's. If [`Config::sampling_ratio`] is set, a sampler of the environment
//! with another fixed ratio, such as `always_on`, is logged as a warning.
//!
//! # Feature flags
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `axum` | no | `instrument_axum` |
//! | `gzip` | yes | compression, if `OTEL_EXPORTER_OTLP_COMPRESSION` asks for it |
//! | `grpc` | no | spans of gRPC calls by the conventions for RPC; turns on `http` |
//! | `http` | no | `http::ServerSpans` and `http::ClientSpans`, observers for `ops-http` |
//! | `metrics` | no | `publish_metrics` |
//! | `otlp-logs` | no | `LogLines`: log lines are exported as OTLP log records |
//! | `otlp-metrics` | no | `MetricsBatch`: metrics are exported by OTLP |
//! | `testing` | no | `testing::Collector`, and traces as text |
//! | `tls` | yes | `https` endpoints, certificates, proxies |
//! | `tracing-spans` | no | `tracing_layer`: spans of the `tracing` crate become spans of this crate |
//!
//! # When not to use it
//!
//! For tail sampling across services (use a collector for that), or for gRPC export.

#[cfg(feature = "axum")]
pub mod axum;
mod brief;
mod completed;
mod config;
mod context;
mod current;
mod db;
mod error;
mod export;
mod global;
mod handle;
#[cfg(feature = "http")]
pub mod http;
mod limits;
mod macros;
#[cfg(any(feature = "http", feature = "tls"))]
mod network;
mod options;
pub mod otel;
#[cfg_attr(
    not(any(feature = "otlp-logs", feature = "otlp-metrics")),
    path = "otlp/absent.rs"
)]
mod otlp;
mod propagation;
#[cfg(feature = "metrics")]
mod publish;
mod recent;
mod recent_values;
mod sampling;
#[cfg(any(feature = "otlp-logs", feature = "otlp-metrics"))]
mod signals;
mod span;
mod stats;
#[cfg(feature = "testing")]
pub mod testing;
mod tracer;
#[cfg(feature = "tracing-spans")]
mod tracing_spans;
mod value;

#[cfg(feature = "axum")]
pub use crate::axum::instrument_axum;
pub use completed::CompletedSpan;
pub use config::Config;
pub use context::{
    Carried, Instrumented, TraceContext, carry, spawn, spawn_blocking, spawn_thread,
    with_trace_context,
};
pub use current::{SpanIds, current_sampled_trace_id, current_span_ids, get_current_trace_id};
pub use db::{QuerySpan, query_span};
pub use error::{Error, ErrorKind};
pub use export::ended::{EndedSpan, set_span_end_hook};
pub use global::{
    completed_span, create_span, current_baggage_fields, export_health, global, init, init_tracer,
    inject, inject_to, last_export_ok, recent, set_sampling_ratio, stats,
};
pub use handle::Handle;
pub use limits::set_attribute_filter;
pub use options::SpanKind;
#[doc(hidden)]
pub use options::SpanOptions;
#[cfg(feature = "metrics")]
pub use publish::publish_metrics;
pub use recent::{Bar, RecentSpan, RecentTrace, RecentTraces};
pub use sampling::Sampling;
#[cfg(feature = "otlp-metrics")]
pub use signals::batch::{Metric, MetricsBatch};
#[cfg(feature = "otlp-logs")]
pub use signals::lines::LogLines;
#[doc(hidden)]
pub use span::SpanStart;
pub use span::{Entered, Span};
pub use stats::{ExportHealth, Failures, SignalStats, Stats};
pub use tracer::Tracer;
#[cfg(feature = "tracing-spans")]
pub use tracing_spans::tracing_layer;
#[doc(hidden)]
pub use value::Literal;
pub use value::Value;

#[cfg(all(
    doctest,
    feature = "axum",
    feature = "testing",
    feature = "tracing-spans"
))]
#[doc = include_str!("../README.md")]
struct Readme;
