use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::format::Kind;
use crate::format::scan::{FoundRecord, Ring};

/// Record in the ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Record {
    /// Number of bytes of all records before it; serves as a sequence number.
    pub position: u64,
    /// Kind of content.
    pub kind: Kind,
    /// Time at which it was written.
    #[serde(serialize_with = "as_millis")]
    pub at: SystemTime,
    /// JSON, as written. Not valid JSON if it was cut; may be anything in a forged file.
    #[serde(serialize_with = "as_json")]
    pub text: String,
    #[serde(skip)]
    pub(crate) nanos: u64,
}

/// Report of a panic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PanicReport {
    /// Message, with known secrets removed.
    pub message: String,
    /// File, line and column.
    pub location: Option<String>,
    /// Name of the thread.
    pub thread: Option<String>,
    /// `true` for a panic of the main thread.
    pub is_main: bool,
    /// `true` for a panic that could not be caught and ended the process.
    pub aborts: bool,
    /// Backtrace, if one was captured: at most every ten seconds for
    /// the main thread, and likewise for all other threads together.
    #[serde(default)]
    pub backtrace: Option<String>,
    /// Nanoseconds since 1970.
    #[serde(skip)]
    pub(crate) nanos: u64,
}

/// Text of a backtrace record.
#[derive(Deserialize, Serialize)]
pub(crate) struct BacktraceText {
    /// Time of the panic, in nanoseconds since 1970.
    pub(crate) panic_at: u64,
    pub(crate) backtrace: String,
}

impl Record {
    pub(super) fn of(found: &FoundRecord, ring: Ring<'_>) -> Self {
        Self {
            position: found.position,
            kind: found.kind,
            at: system_time(found.at),
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

    /// Returns the backtrace of the panic at this time, if this record holds it.
    pub(super) fn backtrace(&self, of: u64) -> Option<String> {
        if self.kind != Kind::Backtrace {
            return None;
        }
        let trace: BacktraceText = serde_json::from_str(&self.text).ok()?;
        (trace.panic_at == of).then_some(trace.backtrace)
    }
}

pub(super) fn system_time(nanos: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos)
}

pub(super) fn as_millis<S: Serializer>(at: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    let millis = since.map_or(0, |since| since.as_millis());
    to.serialize_u64(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// Serializes valid JSON as JSON, and anything else as a string.
fn as_json<S: Serializer>(text: &str, to: S) -> Result<S::Ok, S::Error> {
    match serde_json::from_str::<Value>(text) {
        Ok(value) => value.serialize(to),
        Err(_) => to.serialize_str(text),
    }
}
