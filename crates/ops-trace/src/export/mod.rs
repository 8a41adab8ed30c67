//! Path of an ended span: a bounded queue, the export thread, the collector.

mod batch;
pub(crate) mod breaker;
pub(crate) mod client;
pub(crate) mod closing;
pub(crate) mod collector;
mod console;
mod encode;
pub(crate) mod ended;
mod exporter;
pub(crate) mod pipeline;
mod queue;
pub(crate) mod queue_limiter;
mod reason;
pub(crate) mod reply;
mod response;
mod state;
mod tail;
