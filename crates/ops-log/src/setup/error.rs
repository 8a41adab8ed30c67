use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::{ParseFilterError, ParseLevelError};

/// Why logging could not start, or a level not be changed. What was configured before stays.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The log file cannot be opened for appending.
    File {
        /// Its path.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// An environment variable names no level.
    Level {
        /// The variable.
        variable: &'static str,
        /// What is accepted.
        source: ParseLevelError,
    },
    /// An environment variable names no format.
    Format {
        /// The variable.
        variable: &'static str,
        /// What it says.
        text: String,
    },
    /// A filter cannot be understood.
    Filter(ParseFilterError),
    /// What [`Config::from_env`](crate::Config::from_env) found wrong, where that configuration was cloned.
    Environment(Arc<Self>),
    /// No thread could be started that takes a change of level back.
    Revert(std::io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, source } => write!(
                f,
                "cannot append to the log file {}: {source}",
                path.display()
            ),
            Self::Level { variable, source } => write!(f, "{variable}: {source}"),
            Self::Format { variable, text } => write!(
                f,
                "{variable}: unknown log format {text:?}: expected json or console"
            ),
            Self::Filter(source) => source.fmt(f),
            Self::Environment(source) => source.fmt(f),
            Self::Revert(source) => write!(
                f,
                "cannot start the thread that takes a change of the log level back: {source}"
            ),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } | Self::Revert(source) => Some(source),
            Self::Level { source, .. } => Some(source),
            Self::Filter(source) => Some(source),
            Self::Environment(source) => source.source(),
            Self::Format { .. } => None,
        }
    }
}

impl From<ParseFilterError> for Error {
    fn from(error: ParseFilterError) -> Self {
        Self::Filter(error)
    }
}
