//! Failures of calls, by kind: some are worth a retry.

use std::fmt;

use arrow_flight::error::FlightError;
use tonic::{Code, Status};

use crate::error::Error;

pub(super) const CANCELLED: &str = "cancelled, because no caller is waiting";
/// Maximum number of characters of a message.
const MAX_MESSAGE_CHARS: usize = 600;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// The server does not accept the login.
    Login,
    /// The connection failed, or the server is not available.
    Connection,
    /// There is no credential, no response within the deadline, or the server gave up for lack of time or capacity.
    Unavailable,
    /// The caller's parameters are invalid.
    Input,
    /// Any failure that would recur.
    Final,
}

#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    message: String,
}

impl Fault {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            kind: FaultKind::Final,
            message: message.into(),
        }
    }

    pub(super) fn input(message: impl Into<String>) -> Self {
        Self {
            kind: FaultKind::Input,
            ..Self::new(message)
        }
    }

    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self {
            kind: FaultKind::Unavailable,
            ..Self::new(message)
        }
    }

    /// Redacts `secrets` in the message.
    pub(super) fn without(mut self, secrets: &[String]) -> Self {
        let mut secrets: Vec<_> = secrets.iter().filter(|one| !one.is_empty()).collect();
        // one secret may contain another
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        for secret in secrets {
            self.message = self.message.replace(secret.as_str(), "***");
        }
        self
    }

    /// Converts to the error returned to the caller; `secrets` are redacted in the server's message.
    pub(super) fn into_error(self, attempts: u32, secrets: &[String]) -> Error {
        let hidden = self.without(secrets);
        // shortened after redaction: a secret that is cut in two would not be found
        let mut message = shown(&hidden.message);
        if attempts > 1 {
            message.push_str(&format!(" (tried {attempts} times)"));
        }
        match hidden.kind {
            FaultKind::Input => Error::input(message),
            FaultKind::Login | FaultKind::Connection | FaultKind::Unavailable => {
                Error::unavailable(message)
            }
            FaultKind::Final => Error::engine(message),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl Fault {
    /// Converts the failure of a call.
    pub(super) fn of_call(status: Status) -> Self {
        let cause = innermost(&status);
        let kind = match status.code() {
            Code::Unauthenticated => FaultKind::Login,
            Code::Unavailable => FaultKind::Connection,
            Code::DeadlineExceeded | Code::ResourceExhausted => FaultKind::Unavailable,
            // a status sent by the server has no source
            Code::Unknown | Code::Internal | Code::Cancelled if cause.is_some() => {
                FaultKind::Connection
            }
            _ => FaultKind::Final,
        };
        let said = match (status.message(), &cause) {
            ("", None) => "no message".to_owned(),
            ("", Some(cause)) => cause.clone(),
            (message, Some(cause)) if !message.contains(cause.as_str()) => {
                format!("{message}: {cause}")
            }
            (message, _) => message.to_owned(),
        };
        let what = match kind {
            FaultKind::Login => "the Flight SQL server rejected the login",
            // the server responds, and reports it itself
            FaultKind::Connection if cause.is_none() => "the Flight SQL server is not available",
            FaultKind::Connection => "no connection to the Flight SQL server",
            _ => "the query failed on the Flight SQL server",
        };
        let message = format!("{what}: {}: {said}", status.code());
        Self {
            kind,
            ..Self::new(message)
        }
    }

    /// Converts the failure of a stream of batches.
    pub(super) fn of_stream(error: FlightError) -> Self {
        match error {
            FlightError::Tonic(status) => Self::of_call(*status),
            FlightError::ExternalError(error) => match error.downcast::<Self>() {
                Ok(fault) => *fault,
                Err(error) => Self::new(format!("cannot read the result: {error}")),
            },
            error => Self::new(format!("cannot read the server's response: {error}")),
        }
    }
}

/// Returns the innermost cause of a failure of the transport.
fn innermost(status: &Status) -> Option<String> {
    let mut cause = std::error::Error::source(status)?;
    while let Some(next) = cause.source() {
        cause = next;
    }
    Some(cause.to_string())
}

/// Returns a text of a server in one line, of bounded length.
fn shown(text: &str) -> String {
    let mut line: String = text
        .chars()
        .take(MAX_MESSAGE_CHARS)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(MAX_MESSAGE_CHARS).is_some() {
        line.push('…');
    }
    line
}
