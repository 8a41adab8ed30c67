//! Structured logging on slog: context that follows threads and tasks, JSON and console lines, redaction.
//!
//! ```
//! # fn main() -> Result<(), ops_log::Error> {
//! let _log = ops_log::init(ops_log::Config::from_env().service_name("api"))?;
//! let log = ops_log::get_logger("my_module");
//! ops_log::bind_context!(request_id = "req-123", user_id = 456);
//! ops_log::info!(log, "user_logged_in", username = "alice", ip = %"192.168.1.1");
//! ops_log::info!("started", port = 8000);
//! ops_log::unbind_context(["user_id"]);
//! assert!(ops_log::recent(1)[0].ends_with(r#""event":"started","request_id":"req-123","port":8000}"#) ||
//!         ops_log::recent(1)[0].contains(r#""port":8000"#));
//! ops_log::clear_context();
//! # Ok(()) }
//! ```
//!
//! # In a library
//!
//! Emit `tracing` events, or log through a `slog::Logger` that the application made with [`Logger::slog`].
//!
//! # In an application
//!
//! [`init`] once and keep the guard. Wrap futures that you spawn in [`with_log_context`], and work for other threads
//! in [`carry`]: a context may be lost where that was forgotten, it is never attributed to another request.
//!
//! # What is promised
//!
//! - One line is one write; in JSON each key has one value (the event's, else the context's), and control characters
//!   are escaped.
//! - Nothing that goes wrong while writing reaches the caller; it is counted ([`stats`]).
//! - Values given to [`redact`](fn@redact) are in no line.
//!
//! # Feature flags
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `http` | no | [`http::AccessLog`](crate::http::AccessLog): request ids and access lines |
//! | `metrics` | no | `publish_metrics` |
//!
//! # When not to use it
//!
//! Where a line must not cost a system call: this version writes synchronously.

mod bridge;
mod config;
mod context;
mod error;
#[cfg(feature = "http")]
pub mod http;
mod level;
mod line;
mod logger;
mod macros;
mod output;
mod redact;
mod trace_ids;
mod value;

pub use bridge::{TracingLayer, tracing_layer};
pub use config::Config;
pub use context::{
    Scope, WithLogContext, bind_context, carry, clear_context, unbind_context, with_log_context,
};
pub use error::Error;
pub use level::{Level, ParseLevelError};
pub use logger::{Logger, SlogDrain, get_logger};
#[cfg(feature = "metrics")]
pub use output::publish_metrics;
pub use output::{
    LogGuard, RECENT_LINES, Stats, configure_logging, init, is_enabled, level, recent, set_level,
    stats,
};
pub use redact::{MIN_REDACTED_BYTES, REDACTED, redact, redacted, unredact};
pub use trace_ids::{TraceIds, set_trace_ids};
pub use value::Value;
