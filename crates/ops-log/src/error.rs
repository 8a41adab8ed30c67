use std::fmt;
use std::path::PathBuf;

/// Why logging could not start.
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
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, source } => write!(
                f,
                "cannot append to the log file {}: {source}",
                path.display()
            ),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
        }
    }
}
