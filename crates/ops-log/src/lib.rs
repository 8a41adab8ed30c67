//! Structured logging on slog: context that follows threads and tasks, JSON and console lines, redaction.
//!
//! So far the crate holds the levels and their printed names.
//!
//! ```
//! let level: ops_log::Level = "WARN".parse()?;
//! assert_eq!(level.as_str(), "warning");
//! # Ok::<(), ops_log::ParseLevelError>(())
//! ```

mod level;

pub use level::{Level, ParseLevelError};
