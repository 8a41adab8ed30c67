use std::fmt;
use std::sync::Arc;

use crate::SecretSource;

/// Class of a failure; decides whether to retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// Every source was asked and none has it (or only a default, where production forbids that).
    Missing,
    /// A source cannot be reached from this machine: no region, no credentials, no route.
    Unavailable,
    /// The credentials were refused: expired, unknown, wrong signature.
    Unauthenticated,
    /// Access was denied. AWS answers the same when the secret does not exist and the policy is narrow.
    AccessDenied,
    /// The service asked us to slow down.
    Throttled,
    /// A timeout, a 5xx, an unreadable answer.
    Transient,
    /// The service could not decrypt the value.
    Decrypt,
    /// There is a value, but not of the form that was asked for.
    Malformed,
    /// The catalog, the `.env` file, the name or the time to live is wrong.
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

    /// The last good value may be served for a while instead of this error.
    pub(crate) fn allows_stale(self) -> bool {
        matches!(self, Self::Unavailable | Self::Throttled | Self::Transient)
    }
}

/// Attempt at one source.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Attempt {
    /// The source.
    pub source: SecretSource,
    /// Place (variable, path, file) and answer; never a value.
    pub outcome: String,
}

/// The name of [`Error`] in signatures that name several crates' errors.
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

    /// Returns the sources that were asked, in order.
    pub fn tried(&self) -> &[Attempt] {
        &self.0.tried
    }

    /// Returns `true` if the same call may succeed later without anybody changing anything.
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
