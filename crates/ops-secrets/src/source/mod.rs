//! Sources of secrets, and the contract they fulfill.

pub(crate) mod aws;
mod breaker_source;
pub(crate) mod chain;
#[cfg(any(feature = "vault", feature = "aws-agent"))]
mod concurrent;
pub(crate) mod dotenv;
pub(crate) mod env;
pub(crate) mod file;
#[cfg(any(feature = "vault", feature = "aws-agent"))]
mod http;
pub(crate) mod json_field;
pub(crate) mod target;
mod trusted_file;
#[cfg(feature = "vault")]
pub(crate) mod vault;

use std::fmt;
use std::pin::Pin;
use std::time::Instant;

use zeroize::Zeroizing;

use crate::error::ErrorKind;

/// Maximum length of a foreign message that is passed on, in characters.
#[cfg(any(feature = "aws", feature = "aws-agent", feature = "vault"))]
const MAX_DETAIL_CHARS: usize = 300;

/// Result of a [`Source`] for one name.
pub type FetchResult = Result<SourceValue, FetchError>;

/// Future of [`Source::fetch`].
pub type SourceFuture<'a> = Pin<Box<dyn Future<Output = Vec<FetchResult>> + Send + 'a>>;

/// Store of secrets. The two AWS services implement it, and so can a custom source; see [`Config::source`].
///
/// Runs on the thread of the lookups and must not block it. A panic counts as a failure.
///
/// [`Config::source`]: crate::Config::source
pub trait Source: Send + Sync {
    /// Returns the name for reports, errors and metrics.
    fn name(&self) -> &'static str;

    /// Looks up all `names` at once; the results are in the order of the names.
    ///
    /// No caller waits beyond `deadline`: a source that has some results by then returns them,
    /// with a failure for the other names. A source that returns nothing by then is cut off.
    fn fetch<'a>(&'a self, names: &'a [String], deadline: Instant) -> SourceFuture<'a>;

    /// Returns the state of the source for reports, from what it already knows, without sending requests.
    fn health(&self) -> Health {
        Health::Unknown
    }
}

/// State of a [`Source`].
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Health {
    /// It was not queried yet, or does not know.
    Unknown,
    /// It responded to the last lookup.
    Healthy,
    /// It could not be reached, or refused, for this reason.
    Unhealthy(String),
}

/// Text or bytes of a secret from a [`Source`]; zeroed when dropped, printed as `[REDACTED]`.
#[derive(Clone)]
pub struct SourceValue(Content);

#[derive(Clone)]
enum Content {
    Text(Zeroizing<String>),
    Binary(Zeroizing<Vec<u8>>),
}

/// Failure of a [`Source`] for one name. The details are for operators and must not contain a value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchError {
    /// The source responded, and definitely has no such secret: the next source is queried.
    Absent,
    /// The source responded or began to, and this name failed.
    #[non_exhaustive]
    Failed {
        /// Class of the failure.
        kind: ErrorKind,
        /// Reason for the operator.
        detail: String,
    },
    /// No server was reached: every other name fails too, and the source is not queried again for [`BREAKER_OPEN`].
    ///
    /// [`BREAKER_OPEN`]: crate::BREAKER_OPEN
    #[non_exhaustive]
    Unreachable {
        /// Class of the failure.
        kind: ErrorKind,
        /// Reason for the operator.
        detail: String,
    },
}

impl FetchError {
    /// Creates a failure of this name only.
    pub fn failed(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self::Failed {
            kind,
            detail: detail.into(),
        }
    }

    /// Creates a failure of the source as a whole.
    pub fn unreachable(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self::Unreachable {
            kind,
            detail: detail.into(),
        }
    }
}

impl SourceValue {
    /// Creates the value of a text secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Content::Text(Zeroizing::new(text.into())))
    }

    /// Creates the value of a secret that is not text; see [`Get::bytes`](crate::Get::bytes).
    pub fn binary(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Content::Binary(Zeroizing::new(bytes.into())))
    }

    /// Returns the text; `None` for bytes.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.0 {
            Content::Text(text) => Some(text),
            Content::Binary(_) => None,
        }
    }

    /// Returns the bytes; `None` for text.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            Content::Text(_) => None,
            Content::Binary(bytes) => Some(bytes),
        }
    }
}

impl fmt::Debug for SourceValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// Converts to one line of bounded length, without control characters.
#[cfg(any(feature = "aws", feature = "aws-agent", feature = "vault"))]
pub(crate) fn shortened(text: &str) -> String {
    let clean = text.chars().map(|letter| match letter.is_control() {
        true => ' ',
        false => letter,
    });
    let mut short: String = clean.clone().take(MAX_DETAIL_CHARS).collect();
    if clean.count() > MAX_DETAIL_CHARS {
        short += "...";
    }
    short
}
