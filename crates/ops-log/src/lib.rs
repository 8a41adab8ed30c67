//! Structured logging on slog, as convenient as structlog: context that follows threads and tasks, JSON for
//! machines and readable lines for people, levels that can be changed at run time, and redaction of secrets.
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
//! writes to stdout, by default and with `OPS_LOG_FORMAT=json`:
//!
//! ```text
//! 2025-01-15 10:30:00 [info     ] user_logged_in  username=alice ip=127.0.0.1
//! {"timestamp":"2025-01-15T10:30:00.123Z","level":"info","logger":"my_module","event":"user_logged_in","request_id":"req-123","user_id":456,"username":"alice","ip":"127.0.0.1"}
//! ```
//!
//! Console lines leave out the context and the logger; [`Config::console_context`] adds them.
//!
//! # In a library
//!
//! Emit `tracing` events or `log` records, or accept a `slog::Logger`: all three become lines here, and none of
//! them ties a library to this crate. [`Logger::slog`] and [`LineDrain`] are for libraries that log through slog.
//!
//! # In an application
//!
//! Call [`init`] once, and keep the guard. It installs a `tracing` subscriber and a `log` logger if there are none; a
//! program with its own subscriber adds [`tracing_layer`] to it. Wrap futures that you spawn in [`with_log_context`],
//! or use `spawn`, and [`carry`] work to other threads. [`Pipeline`] offers the same without global state.
//!
//! # Guarantees
//!
//! - A line is one `write` (to a pipe or a terminal, one for each 4 KiB), and the call returns after it: once
//!   a call returned, its line survives `kill -9`. A line is valid JSON with one value per key (the event's,
//!   else the logger's, else the context's) and one newline at its end, whatever its values contain: control
//!   characters are escaped, values logged as JSON are parsed and serialized again, a value that panics
//!   becomes `<panic in fmt>`, and [`MAX_VALUE_BYTES`], [`MAX_FIELDS`] and [`MAX_LINE_BYTES`] limit its size.
//!   `timestamp`, `level`, `logger` and `event` are reserved; a field with such a name gets a `_` appended.
//! - No failure while writing reaches the caller: neither a full disk nor a closed pipe. A stalled reader
//!   blocks once for [`STALL_BUDGET`], lines of level `error` and `critical` for [`ERROR_STALL_BUDGET`].
//!   Lost lines are counted: `written + dropped` is the number of lines sent ([`stats`]). A failing
//!   output is reported by one warning, `log_output_failed`, on the other outputs or else on standard
//!   error; once it accepts lines again, `log_lines_lost` has the number of missing lines. If a clock,
//!   trace id source, writer or drain of the application panics, only its own contribution is lost.
//! - A log file cannot fill the disk: it is rotated before it exceeds 64 MiB, and four files are
//!   kept ([`Rotation`]). A file that was renamed or deleted is created again within a second.
//! - A context that belongs to a scope is never attributed to another request. Scopes are: a wrapped future
//!   ([`with_log_context`], [`fn@spawn`]), carried work ([`carry`]), a request of `http::AccessLog`. A bare
//!   [`bind_context!`] belongs to the tokio task or, outside of tasks, to the thread that runs it. Bare
//!   contexts are kept for 4096 tasks; beyond that, the half whose last binding is oldest is dropped. If
//!   several requests share one task (`join!`, `FuturesUnordered`, `for_each_concurrent`) or one thread
//!   outside of tokio (a thread pool), they share bare bindings, and lines carry the value bound last: wrap
//!   each future, carry each piece of work. Without the feature `tokio` this applies to all tasks of a thread.
//! - A level changed by [`set_level`] reverts automatically, after
//!   [`LEVEL_TTL`] unless another time is given; both changes are logged.
//! - Lines that are kept for a request ([`LateLines`]) are redacted before they are kept; a request keeps at
//!   most [`MAX_LATE_REQUEST_BYTES`], all together [`MAX_LATE_BYTES`]. While none are kept they cost nothing.
//! - Values of at least 8 bytes given to [`redact`](fn@redact) appear in no line, not even as the rest of a cut
//!   value, in any of the forms that JSON, `Debug`, percent-encoding and HTML give them, nested or not, nor in base64
//!   without line breaks. Other encodings are not decoded. Also left out are: values under [`DENIED_KEYS`], at any
//!   depth; passwords and tokens in URLs, and in connection strings and cookies with `;` between their pairs; the
//!   password in libpq connection strings (`host=db password=x`; not recognized without `host`, `hostaddr`, `dbname`
//!   or `user`); the credentials of `Authorization` headers (`Basic`, `Bearer` and the like) and of form bodies
//!   (`a=b&password=x`); of headers with a dash in their name (`X-Api-Key: x`), of XML (`<password>x</password>`,
//!   `password="x"`), of lines of YAML with one word or a quoted value, and of options (`--password=x`, in texts of
//!   more than 32 bytes also `--password x`), unless the value is like a word, a name or, in a header, a short
//!   number; and quoted texts under the names of denied fields in the `Debug` output of structs, maps, pairs and
//!   environment variables of commands, and in dictionaries of Python.
//! - Once warm, a line allocates nothing. With 10 fields it takes half of slog-json's time
//!   and 0.07 of `tracing-subscriber`'s JSON, with 10 bound fields 0.28 of slog-json's; a
//!   disabled line takes two nanoseconds. Measured by `cargo bench -p ops-log`.
//!
//! # Errors
//!
//! [`init`] fails if a file cannot be opened, or an environment variable or a setting is invalid; the previous
//! configuration stays in effect, and a retry succeeds once the cause is gone. Logging itself never fails.
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
//! - If a line must not cost a system call: lines are written synchronously, without a queue.
//! - If SIGHUP must end a process that logs to a file: the signal is handled, and reopens the file.
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
