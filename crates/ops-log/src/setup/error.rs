use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::level::levels::MAX_LEVEL_CHANGES;
use crate::{
    ParseFilterError, ParseLateLinesError, ParseLevelError, ParseRateLimitError, ParseRotationError,
};

/// Error of starting to log, or of changing a level. The previous configuration stays in effect.
#[non_exhaustive]
pub enum Error {
    /// The log file cannot be opened for appending.
    File {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// An environment variable is not a valid level.
    Level {
        /// The variable.
        variable: &'static str,
        /// Reason, with the accepted values.
        source: ParseLevelError,
    },
    /// An environment variable is not a valid format.
    Format {
        /// The variable.
        variable: &'static str,
        /// Value of the variable.
        text: String,
    },
    /// An environment variable is not a valid rotation.
    Rotation {
        /// The variable.
        variable: &'static str,
        /// Reason, with the accepted values.
        source: ParseRotationError,
    },
    /// An environment variable is not a valid rate limit.
    RateLimit {
        /// The variable.
        variable: &'static str,
        /// Reason, with the accepted values.
        source: ParseRateLimitError,
    },
    /// An environment variable is not a valid setting for late lines.
    LateLines {
        /// The variable.
        variable: &'static str,
        /// Reason, with the accepted values.
        source: ParseLateLinesError,
    },
    /// Two keys of JSON lines have the same name.
    JsonKeys {
        /// The shared name.
        key: String,
    },
    /// The share of sampled traces is not between 0 and 1.
    Sampling {
        /// Configured share.
        ratio: f64,
    },
    /// A filter is invalid.
    Filter(ParseFilterError),
    /// Error found by [`Config::from_env`](crate::Config::from_env), in a configuration that was cloned.
    Environment(Arc<Self>),
    /// The thread that reverts a change of level cannot be started.
    Revert(std::io::Error),
    /// The levels of [`MAX_LEVEL_CHANGES`](crate::MAX_LEVEL_CHANGES) other targets are already changed.
    TooManyChanges,
}

/// Class of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting is invalid.
    Config,
    /// A file cannot be opened or a thread cannot be started.
    Io,
    /// A limit is reached; the same call may succeed later.
    Limit,
}

impl Error {
    /// Returns the class of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::File { .. } | Self::Revert(_) => ErrorKind::Io,
            Self::TooManyChanges => ErrorKind::Limit,
            Self::Environment(error) => error.kind(),
            Self::Level { .. }
            | Self::Format { .. }
            | Self::Rotation { .. }
            | Self::RateLimit { .. }
            | Self::LateLines { .. }
            | Self::JsonKeys { .. }
            | Self::Sampling { .. }
            | Self::Filter(_) => ErrorKind::Config,
        }
    }
}

/// Formats message and causes, each once, so that a `main` that returns this error ends with a readable line.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)?;
        let source = std::error::Error::source(self);
        let mut causes = std::iter::successors(source, |cause| cause.source());
        causes.try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => {
                write!(f, "cannot append to the log file {}", path.display())
            }
            Self::Level { variable, source } => write!(f, "{variable}: {source}"),
            Self::Format { variable, text } => write!(
                f,
                "{variable}: unknown log format {text:?}: expected json, ecs, gcp, datadog or console"
            ),
            Self::Rotation { variable, source } => write!(f, "{variable}: {source}"),
            Self::RateLimit { variable, source } => write!(f, "{variable}: {source}"),
            Self::LateLines { variable, source } => write!(f, "{variable}: {source}"),
            Self::JsonKeys { key } => write!(
                f,
                "json_form: duplicate key {key:?}: timestamp, level, event and logger must have unique names"
            ),
            Self::Sampling { ratio } => write!(
                f,
                "sample_traces: invalid ratio {ratio}: expected a number from 0 to 1"
            ),
            Self::Filter(source) => source.fmt(f),
            Self::Environment(source) => source.fmt(f),
            Self::Revert(_) => {
                f.write_str("cannot start the thread that reverts log level changes")
            }
            Self::TooManyChanges => write!(
                f,
                "at most {MAX_LEVEL_CHANGES} targets can have a temporary level at a time: wait until one of them reverts, \
                 or change one target that covers several"
            ),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } | Self::Revert(source) => Some(source),
            Self::Environment(source) => source.source(),
            // the reason is part of the message
            Self::Level { .. }
            | Self::Rotation { .. }
            | Self::RateLimit { .. }
            | Self::LateLines { .. }
            | Self::JsonKeys { .. }
            | Self::Sampling { .. }
            | Self::Filter(_)
            | Self::Format { .. }
            | Self::TooManyChanges => None,
        }
    }
}

impl From<ParseFilterError> for Error {
    fn from(error: ParseFilterError) -> Self {
        Self::Filter(error)
    }
}
