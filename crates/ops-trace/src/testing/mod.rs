//! Support for tests: a collector in this process, and traces as text.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use ops_trace::{Config, Tracer, span, testing::Collector};
//!
//! let collector = Collector::start()?;
//! let tracer = Tracer::new(Config::new("shop").endpoint(collector.endpoint()))?;
//! span!(tracer: tracer, "order", items = 2).in_scope(|_| {
//!     span!(tracer: tracer, "pay").in_scope(|span| span.set_error("declined"));
//! });
//! tracer.flush();
//! assert_eq!(collector.snapshot(), "order items=2\n  pay ERROR error.type=declined\n");
//! # tracer.shutdown_blocking(std::time::Duration::from_secs(1));
//! # Ok(())
//! # }
//! ```

mod collector;
mod received;
#[cfg(feature = "otlp-logs")]
mod received_logs;
#[cfg(feature = "otlp-metrics")]
mod received_points;
mod request;
mod snapshot;

pub use collector::{Answer, Collector};
pub use received::{ReceivedEvent, ReceivedLink, ReceivedSpan};
#[cfg(feature = "otlp-logs")]
pub use received_logs::ReceivedLog;
#[cfg(feature = "otlp-metrics")]
pub use received_points::ReceivedPoint;
