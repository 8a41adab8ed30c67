//! Log lines and metrics that were submitted for export, and their outcomes.

#[cfg(feature = "otlp-metrics")]
pub(crate) mod batch;
pub(crate) mod ledger;
#[cfg(feature = "otlp-logs")]
pub(crate) mod lines;

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

#[cfg(feature = "otlp-metrics")]
pub(crate) use batch::MetricsSource;
pub(crate) use ledger::Ledger;

thread_local! {
    static IS_SENDING: Cell<bool> = const { Cell::new(false) };
}

/// Marks this thread as the sending thread.
pub(crate) fn begin_sending() {
    IS_SENDING.set(true);
}

/// Reports whether this is the sending thread, whose own log lines
/// must not be exported: each export would cause another one.
#[cfg(feature = "otlp-logs")]
pub(crate) fn is_sending() -> bool {
    IS_SENDING.try_with(Cell::get).unwrap_or(true)
}

pub(crate) fn nanos(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
