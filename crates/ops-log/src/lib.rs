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
mod capture;
mod carry;
mod config;
mod console;
mod context;
mod core;
mod deny;
mod drained;
mod error;
mod escape;
mod fields;
mod filter;
mod formatted;
#[cfg(feature = "http")]
pub mod http;
mod init;
mod level;
mod levels;
mod line;
mod line_drain;
mod logger;
mod macros;
mod nested;
mod owner;
mod panic;
mod pipeline;
mod redact;
mod reentry;
mod ring;
mod scratch;
mod serialize;
mod sink;
#[cfg(feature = "slog-json")]
pub mod slog_json;
mod static_key;
mod stats;
mod stream;
mod timestamp;
mod trace_ids;
mod value;

pub use bridge::tracing_layer;
pub use capture::{CapturedLine, capture_logs, capture_logs_of};
pub use carry::{LogContextExt, WithLogContext, carry, thread, with_log_context};
#[cfg(feature = "tokio")]
pub use carry::{spawn, spawn_blocking};
pub use config::{Config, Output};
pub use context::{
    ContextScope, Scope, bind_all, bind_context, clear_context, context_value, unbind_context,
};
pub use deny::DENIED_KEYS;
pub use error::Error;
pub use fields::{MAX_FIELDS, MAX_KEY_BYTES, MAX_VALUE_BYTES};
pub use filter::{Filter, ParseFilterError};
pub(crate) use init::FLUSH_BUDGET;
pub use init::{
    LogGuard, configure_logging, init, is_enabled, level, levels, recent, set_level, stats,
};
pub use level::{Level, ParseLevelError};
pub use levels::{LEVEL_TTL, LevelRule, MAX_LEVEL_TTL, Temporary};
pub use line::MAX_LINE_BYTES;
pub use line_drain::LineDrain;
pub use logger::{__private, Logger, get_logger};
pub use pipeline::Pipeline;
pub use redact::{MIN_REDACTED_BYTES, REDACTED, redact, redacted, unredact};
pub use ring::{MAX_RECENT_BYTES, RECENT_LINES};
pub use sink::STALL_BUDGET;
pub use stats::Stats;
#[cfg(feature = "metrics")]
pub use stats::publish_metrics;
pub use trace_ids::{TraceIds, set_trace_ids};
pub use value::{Json, Value};
