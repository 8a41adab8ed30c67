pub(crate) mod filter;
pub(crate) mod late_lines;
pub(crate) mod levels;
pub(crate) mod rate_limit;

use std::fmt;
use std::str::FromStr;

/// Severity of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    /// Most detailed information.
    Trace,
    /// Information for debugging.
    Debug,
    /// Normal course of events.
    Info,
    /// Unexpected, but handled.
    Warning,
    /// An operation failed.
    Error,
    /// The process cannot fulfill its purpose.
    Critical,
}

impl Level {
    /// All levels, the most verbose first.
    pub const ALL: [Self; 6] = [
        Self::Trace,
        Self::Debug,
        Self::Info,
        Self::Warning,
        Self::Error,
        Self::Critical,
    ];

    /// Returns the printed name: `trace`, `debug`, `info`, `warning`, `error` or `critical`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }

    /// Returns slog's level of this name.
    pub const fn slog(self) -> slog::Level {
        match self {
            Self::Trace => slog::Level::Trace,
            Self::Debug => slog::Level::Debug,
            Self::Info => slog::Level::Info,
            Self::Warning => slog::Level::Warning,
            Self::Error => slog::Level::Error,
            Self::Critical => slog::Level::Critical,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<slog::Level> for Level {
    fn from(level: slog::Level) -> Self {
        match level {
            slog::Level::Trace => Self::Trace,
            slog::Level::Debug => Self::Debug,
            slog::Level::Info => Self::Info,
            slog::Level::Warning => Self::Warning,
            slog::Level::Error => Self::Error,
            slog::Level::Critical => Self::Critical,
        }
    }
}

/// Text that is not a valid level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseLevelError {
    text: String,
}

impl fmt::Display for ParseLevelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "unknown log level {:?}: expected trace, debug, info, warning (warn), error or critical (crit, fatal), case-insensitive",
            self.text
        )
    }
}

impl std::error::Error for ParseLevelError {}

impl FromStr for Level {
    type Err = ParseLevelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().to_ascii_lowercase().as_str() {
            "trace" => Ok(Self::Trace),
            "debug" => Ok(Self::Debug),
            "info" => Ok(Self::Info),
            "warning" | "warn" => Ok(Self::Warning),
            "error" => Ok(Self::Error),
            "critical" | "crit" | "fatal" => Ok(Self::Critical),
            _ => Err(ParseLevelError {
                text: text.to_owned(),
            }),
        }
    }
}
