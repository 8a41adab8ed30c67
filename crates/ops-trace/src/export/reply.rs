use std::time::Duration;

use crate::stats::FailureKind;

/// Maximum bytes of a collector's message in a log line.
pub(crate) const MAX_MESSAGE_BYTES: usize = 1024;

/// Response of the collector to one batch.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) failure: Option<FailedExport>,
    pub(crate) rejected: u64,
    pub(crate) message: String,
}

/// A batch that could not be delivered.
#[derive(Debug)]
pub(crate) struct FailedExport {
    pub(crate) kind: FailureKind,
    pub(crate) cause: String,
    /// HTTP status of the response, if there was one.
    pub(crate) status: Option<u16>,
    /// True if the collector responded that it has the batch, but not whether it accepted all of it.
    #[cfg_attr(
        not(any(feature = "otlp-logs", feature = "otlp-metrics")),
        expect(dead_code, reason = "spans are counted as failed all the same")
    )]
    pub(crate) is_received: bool,
    /// Pause that the collector asked for.
    pub(crate) retry_after: Option<Duration>,
}

impl FailedExport {
    /// Creates a failure for which the client reported no details.
    pub(crate) fn other(cause: String) -> Self {
        Self {
            kind: FailureKind::Other,
            cause,
            status: None,
            is_received: false,
            retry_after: None,
        }
    }
}
