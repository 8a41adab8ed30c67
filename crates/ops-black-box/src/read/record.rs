use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::format::Kind;
use crate::format::scan::{Found, Ring};

/// A record of the ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Record {
    /// Bytes of all records before it: its sequence number.
    pub position: u64,
    /// Content.
    pub kind: Kind,
    /// Moment at which it was written.
    #[serde(serialize_with = "as_millis")]
    pub at: SystemTime,
    /// Its JSON, as it was written. It is no JSON if it was cut, and may be anything in a forged file.
    #[serde(serialize_with = "as_json")]
    pub text: String,
    #[serde(skip)]
    pub(crate) nanos: u64,
}

/// A panic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PanicReport {
    /// Message, without secrets that are known.
    pub message: String,
    /// File, line and column.
    pub location: Option<String>,
    /// Name of its thread.
    pub thread: Option<String>,
    /// It was the main thread.
    pub is_main: bool,
    /// It could not be caught, and ended the process.
    pub aborts: bool,
    /// Backtrace, if one was taken: at most every ten seconds of the main thread, and of the others together.
    #[serde(default)]
    pub backtrace: Option<String>,
    /// Nanoseconds since 1970.
    #[serde(skip)]
    pub(crate) nanos: u64,
}

/// Text of a record of its kind.
#[derive(Deserialize, Serialize)]
pub(crate) struct Backtrace {
    /// Moment of the panic, in nanoseconds since 1970.
    pub(crate) panic_at: u64,
    pub(crate) backtrace: String,
}

impl Record {
    pub(super) fn of(found: &Found, ring: Ring<'_>) -> Self {
        Self {
            position: found.position,
            kind: found.kind,
            at: moment(found.at),
            text: String::from_utf8_lossy(&ring.text(found)).into_owned(),
            nanos: found.at,
        }
    }

    pub(super) fn panic(&self) -> Option<PanicReport> {
        if self.kind != Kind::Panic {
            return None;
        }
        let mut panic: PanicReport = serde_json::from_str(&self.text).ok()?;
        panic.nanos = self.nanos;
        Some(panic)
    }

    /// Text of the backtrace of the panic at this moment.
    pub(super) fn backtrace(&self, of: u64) -> Option<String> {
        if self.kind != Kind::Backtrace {
            return None;
        }
        let trace: Backtrace = serde_json::from_str(&self.text).ok()?;
        (trace.panic_at == of).then_some(trace.backtrace)
    }
}

pub(super) fn moment(nanos: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos)
}

pub(super) fn as_millis<S: Serializer>(at: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    let millis = since.map_or(0, |since| since.as_millis());
    to.serialize_u64(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// The JSON as JSON, and anything else as a text.
fn as_json<S: Serializer>(text: &str, to: S) -> Result<S::Ok, S::Error> {
    match serde_json::from_str::<Value>(text) {
        Ok(value) => value.serialize(to),
        Err(_) => to.serialize_str(text),
    }
}
