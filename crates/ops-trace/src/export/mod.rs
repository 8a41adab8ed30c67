//! The way of an ended span: a bounded queue, the export thread, the collector.

mod batch;
mod breaker;
mod client;
mod console;
mod exporter;
pub(crate) mod pipeline;
pub(crate) mod queue_limiter;
mod state;
mod tail;
