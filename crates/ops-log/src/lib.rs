//! Structured logging on slog, as comfortable as structlog: context that follows threads and tasks, JSON for machines and
//! lines for people, levels that change while it runs, secrets that stay out.
//!
//! ```
//! # fn main() -> Result<(), ops_log::Error> {
//! let _log = ops_log::init(ops_log::Config::from_env().service_name("api"))?;
//! let log = ops_log::get_logger("my_module");
//! ops_log::bind_context!(request_id = "req-123", user_id = 456);
//! ops_log::info!(log, "user_logged_in", username = "alice", ip = %std::net::Ipv4Addr::LOCALHOST);
//! ops_log::info!("started", port = 8000); // without a logger: the service's
//! ops_log::unbind_context(["user_id"]);
//! ops_log::clear_context();
//!
//! let lines = ops_log::capture_logs(|| ops_log::info!("user_logged_out", username = "alice"));
//! assert_eq!(lines[0]["username"], "alice");
//! # Ok(()) }
//! ```
//!
//! writes, to stdout for people and with `OPS_LOG_FORMAT=json` for machines:
//!
//! ```text
//! 2025-01-15 10:30:00 [info     ] user_logged_in  username=alice ip=127.0.0.1
//! {"timestamp":"2025-01-15T10:30:00.123Z","level":"info","logger":"my_module","event":"user_logged_in","request_id":"req-123","user_id":456,"username":"alice","ip":"127.0.0.1"}
//! ```
//!
//! # In a library
//!
//! Emit `tracing` events or `log` records, or take a `slog::Logger`: all three become lines here, and none of them ties a
//! library to this crate. [`Logger::slog`] and [`LineDrain`] are for libraries that log through slog.
//!
//! # In an application
//!
//! [`init`] once, and keep the guard. It installs a `tracing` subscriber and a `log` logger where none is; a host with a
//! subscriber of its own adds [`tracing_layer`] to it. Wrap futures that you spawn in [`with_log_context`], or use
//! `spawn`, and [`carry`] work to other threads. [`Pipeline`] is the same without anything global.
//!
//! # Guarantees
//!
//! - A line is one `write` (to a pipe or a terminal, one for each 4 KiB), and a call returns after it: what was returned
//!   survives `kill -9`. It is valid JSON with one value for each key (the event's, else the logger's, else the context's)
//!   and one newline at its end, whatever is in it: control characters are escaped, JSON that is logged as JSON is read and
//!   written anew, a value that panics is `<panic in fmt>`, [`MAX_VALUE_BYTES`], [`MAX_FIELDS`] and [`MAX_LINE_BYTES`] cut
//!   what is too much. `timestamp`, `level`, `logger` and `event` are ours; a field of such a name gets a `_` behind it.
//! - Nothing that goes wrong while writing reaches the caller: not a full disk, not a closed pipe, and a reader that stalls
//!   costs [`STALL_BUDGET`] once, lines of level `error` and `critical` [`ERROR_STALL_BUDGET`]. Lines that were lost are
//!   counted: `written + dropped` is what was sent ([`stats`]). An output that fails is one warning, `log_output_failed`,
//!   on the other outputs and else on standard error; once it takes lines again, `log_lines_lost` says how many are
//!   missing. Clocks, trace id sources, writers and drains of the application that panic cost what they were asked for.
//! - A log file cannot fill the disk: it is rotated before it is longer than 64 MiB, and four files are kept
//!   ([`Rotation`]). A file that was renamed or deleted is made again within a second.
//! - A context is never attributed to another request where it belongs to a scope: a future that was wrapped
//!   ([`with_log_context`], [`fn@spawn`]), work that was carried ([`carry`]), a request of `http::AccessLog`. A bare
//!   [`bind_context!`] belongs to the tokio task or, outside of tasks, to the thread that runs it. It is kept for 4096 tasks;
//!   beyond, the half of them that bound something longest ago lose it. Where several requests share one task (`join!`,
//!   `FuturesUnordered`, `for_each_concurrent`) or one thread outside of tokio (a pool of threads), they share what was bound
//!   bare, and lines carry the value that was bound last: wrap each future, carry each piece of work. Without the feature
//!   `tokio` that holds for all tasks of a thread.
//! - A level that [`set_level`] changed reverts by itself, after [`LEVEL_TTL`] unless it says otherwise; both are lines.
//! - Lines that are kept for a request ([`LateLines`]) are redacted before they are kept; a request keeps at most
//!   [`MAX_LATE_REQUEST_BYTES`], all together [`MAX_LATE_BYTES`]. While none are kept they cost nothing.
//! - Values of 8 bytes and more given to [`redact`](fn@redact) are in no line, nor in what is left of a value that is cut,
//!   in none of the forms that JSON, `Debug`, percent-encoding and HTML give them, nested in each other or not, nor in base64 without
//!   line breaks. Other encodings are not undone. Values under [`DENIED_KEYS`] are in no line either, at any depth, and neither
//!   are passwords and tokens in URLs, in connection strings and cookies with `;` between their pairs, the password in those of libpq
//!   (`host=db password=x`; one that stands without `host`, `hostaddr`, `dbname` or `user` is not looked at), and texts in quotes under
//!   the names of denied fields in what `Debug` shows of structs, maps and pairs.
//! - Once warm, a line allocates nothing. With 10 fields it takes half of slog-json's time and 0.07 of
//!   `tracing-subscriber`'s JSON, with 10 bound fields 0.28 of slog-json's, disabled two nanoseconds: `cargo bench -p
//!   ops-log` measures it.
//!
//! # Errors
//!
//! [`init`] fails if a file cannot be opened or a variable of the environment cannot be understood; what was configured
//! before goes on, and a retry helps once the cause is gone. Logging itself never fails.
//!
//! # Feature flags
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `anyhow` | no | `error = &e` for `anyhow::Error`, with causes and backtrace |
//! | `grpc` | no | status and message of gRPC calls on their access lines; turns on `http` |
//! | `http` | no | `http::AccessLog`: request ids and access lines |
//! | `metrics` | no | `publish_metrics` |
//! | `slog-json` | no | `slog_json::drain`, for readers of slog-json's format |
//! | `tokio` | yes | separates bare tasks that share a thread; `spawn` and `spawn_blocking` |
//!
//! # When not to use it
//!
//! - If a line must not cost a system call: lines are written synchronously, there is no queue.
//! - If SIGHUP has to end the process although it logs to a file: the signal is taken to open the file again.
//! - In a library: see above.

mod bridge;
mod context;
mod escape;
#[cfg(feature = "http")]
pub mod http;
mod init;
mod level;
mod logger;
mod output;
mod pipeline;
pub mod reader;
mod redact;
mod render;
mod setup;

pub use bridge::tracing_layer;
pub use context::carry::{Carried, LogContextExt, WithLogContext, carry, thread, with_log_context};
#[cfg(feature = "tokio")]
pub use context::carry::{spawn, spawn_blocking};
pub use context::{
    ContextScope, Scope, bind_all, bind_context, clear_context, context_value, unbind_context,
};
pub use init::{
    LogGuard, configure_logging, init, is_enabled, level, levels, output_health, recent,
    recent_after, revert_late_lines, revert_level, set_late_lines, set_level, stats,
};
pub use level::filter::{Filter, ParseFilterError};
pub use level::late_lines::{
    LateLines, MAX_LATE_BYTES, MAX_LATE_REQUEST_BYTES, ParseLateLinesError, SLOW_REQUEST,
};
pub use level::levels::{LEVEL_TTL, LevelRule, MAX_LEVEL_CHANGES, MAX_LEVEL_TTL, Temporary};
pub use level::rate_limit::{ParseRateLimitError, RateLimit};
pub use level::{Level, ParseLevelError};
pub use logger::line_drain::LineDrain;
pub use logger::{__private, Logger, get_logger};
pub use output::Output;
pub use output::health::OutputHealth;
pub use output::rotation::{ParseRotationError, ROTATION_BYTES, ROTATION_FILES, Rotation};
pub use output::stream::{ERROR_STALL_BUDGET, STALL_BUDGET};
pub use pipeline::Pipeline;
pub use pipeline::capture_logs::{CapturedLine, capture_logs, capture_logs_of};
pub use pipeline::late::with_late_lines;
pub use pipeline::limiter::MAX_LIMITED_EVENTS;
pub use pipeline::ring::{MAX_RECENT_BYTES, RecentLines};
pub use pipeline::stats::Stats;
#[cfg(feature = "metrics")]
pub use pipeline::stats::publish_metrics;
pub use pipeline::tap::set_line_tap;
pub use pipeline::trace_ids::{TraceIds, set_trace_id_source};
pub use redact::deny::{ALLOWED_KEYS, DENIED_KEYS};
pub use redact::{MIN_REDACTED_BYTES, REDACTED, redact, redacted, unredact};
pub use render::backtrace::Backtraced;
pub use render::fields::MAX_FIELDS;
pub use render::json_form::{JsonForm, ParseJsonFormError, TimeForm};
pub use render::key::MAX_KEY_BYTES;
pub use render::line::MAX_LINE_BYTES;
pub use render::scalars::MAX_VALUE_BYTES;
#[cfg(feature = "slog-json")]
pub use render::slog_json;
pub use render::value::{Json, Value};
pub use setup::config::{Config, RECENT_LINES};
pub use setup::error::{Error, ErrorKind};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
