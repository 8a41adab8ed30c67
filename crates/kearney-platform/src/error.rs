//! Errors of commands, runs and requests.

use std::error::Error as StdError;
use std::fmt;
use std::process::ExitCode;

/// Result of fallible operations in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed attempt; its cause is its [`source`](StdError::source).
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    signal: Option<i32>,
    attempted: String,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

/// Class of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An option, a variable or a configuration file is invalid.
    Config,
    /// A file or directory could not be read or written.
    File,
    /// The warehouse rejected a statement, or its result has an unexpected shape.
    Warehouse,
    /// The registry, a run's record or a published result could not be read or written.
    Registry,
    /// A secret cannot be resolved.
    Secret,
    /// The query cache could not be opened or changed.
    Cache,
    /// The service could not start, or ended with an error.
    Service,
    /// A run failed.
    Run,
    /// A run was cancelled, or its process was stopped.
    Cancelled,
    /// A run timed out.
    Timeout,
}

impl Error {
    pub fn new(kind: Kind, attempted: impl Into<String>) -> Self {
        Self {
            kind,
            signal: None,
            attempted: attempted.into(),
            cause: None,
        }
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Adds the number of the signal that ended the operation.
    #[must_use]
    pub fn by_signal(mut self, number: Option<i32>) -> Self {
        self.signal = number;
        self
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the exit code of the program: 128 plus the number of the signal that ended it early, or 1.
    pub fn exit_code(&self) -> ExitCode {
        let by_signal = self
            .signal
            .and_then(|number| u8::try_from(128 + number).ok());
        by_signal.map_or(ExitCode::FAILURE, ExitCode::from)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.attempted)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self.cause.as_deref()?)
    }
}

/// Returns an error with its causes on one line, each once.
pub fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let own = error.to_string();
        // some errors of other crates repeat their cause in their own text
        if !text.ends_with(&own) {
            text = format!("{text}: {own}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_reported_once() {
        let cause = std::io::Error::other("the disk is full");
        let inner = Error::new(Kind::File, "b: the disk is full").because(cause);
        let failure = Error::new(Kind::Run, "a").because(inner);
        assert_eq!(chain(&failure), "a: b: the disk is full");
    }
}
