use std::fmt;
use std::sync::Arc;

use crate::SecretSource;

/// Class of a failure; decides whether to retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// Every source was queried and none has it (or only a default, which production does not accept).
    Missing,
    /// A source cannot be reached from this machine: no region, no credentials, no route.
    Unavailable,
    /// The credentials were refused: expired, unknown, wrong signature.
    Unauthenticated,
    /// Access was denied. AWS returns the same response if the secret does not exist and the policy is narrow.
    AccessDenied,
    /// The service throttled the request.
    Throttled,
    /// A timeout, a 5xx, an unreadable response.
    Transient,
    /// The service could not decrypt the value.
    Decrypt,
    /// The value does not have the requested form.
    Malformed,
    /// The catalog, the `.env` file, the name or the time to live is invalid.
    Config,
}

impl ErrorKind {
    /// All kinds.
    pub const ALL: &'static [Self] = &[
        Self::Missing,
        Self::Unavailable,
        Self::Unauthenticated,
        Self::AccessDenied,
        Self::Throttled,
        Self::Transient,
        Self::Decrypt,
        Self::Malformed,
        Self::Config,
    ];

    /// Returns the name as it appears in messages and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unavailable => "unavailable",
            Self::Unauthenticated => "unauthenticated",
            Self::AccessDenied => "access_denied",
            Self::Throttled => "throttled",
            Self::Transient => "transient",
            Self::Decrypt => "decrypt",
            Self::Malformed => "malformed",
            Self::Config => "config",
        }
    }

    /// Returns whether the last good value may be served for a limited time instead of this error.
    pub(crate) fn allows_stale(self) -> bool {
        matches!(self, Self::Unavailable | Self::Throttled | Self::Transient)
    }
}

/// Attempt at one source.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Attempt {
    /// Queried source.
    pub source: SecretSource,
    /// Place (variable, path, file) and outcome; never a value.
    pub outcome: String,
}

/// Alternative name of [`Error`], for signatures with the errors of several crates.
pub type SecretError = Error;

/// Error of a lookup. Holds names, sources and reasons; never a value or a part of one.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Arc<Inner>);

#[derive(PartialEq, Eq)]
struct Inner {
    kind: ErrorKind,
    message: String,
    tried: Vec<Attempt>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>, tried: Vec<Attempt>) -> Self {
        Self(Arc::new(Inner {
            kind,
            message: message.into(),
            tried,
        }))
    }

    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message, Vec::new())
    }

    /// Returns the class of the failure.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns the queried sources, in order.
    pub fn tried(&self) -> &[Attempt] {
        &self.0.tried
    }

    /// Returns `true` if the same call may succeed later without any change.
    pub fn is_retryable(&self) -> bool {
        self.kind().allows_stale()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        for (i, attempt) in self.tried().iter().enumerate() {
            let lead = if i == 0 { "; tried " } else { ", " };
            write!(f, "{lead}{} ({})", attempt.source, attempt.outcome)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({}: {self})", self.kind().as_str())
    }
}

impl std::error::Error for Error {}
