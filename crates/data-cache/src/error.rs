//! Errors of callers and of engines.

use std::fmt;

/// Error returned by this crate.
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

/// Category of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument or configuration value is invalid.
    Input,
    /// A file, directory or thread could not be prepared, or an invalidation could not be completed.
    Io,
    /// The engine rejected the statement, or the statement failed.
    Engine,
    /// The engine is unavailable: no connection, login rejected, no response in time, or no capacity for the query at
    /// the moment. The same query may succeed later.
    Unavailable,
}

impl Error {
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Input,
            message: message.into(),
        }
    }

    pub(crate) fn io(message: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Io,
            message: message.into(),
        }
    }

    /// Error of an engine, for implementations of [`QueryEngine`](crate::QueryEngine).
    pub fn engine(message: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Engine,
            message: message.into(),
        }
    }

    /// Error of an engine that is unavailable at the moment, for
    /// implementations of [`QueryEngine`](crate::QueryEngine).
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Unavailable,
            message: message.into(),
        }
    }

    /// Returns the category of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
