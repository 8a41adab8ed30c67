use std::time::Duration;

use crate::stats::FailureKind;

/// Maximum bytes of a collector's message in a log line.
pub(crate) const MAX_MESSAGE_BYTES: usize = 1024;

/// Answer of the collector to one batch.
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
    /// Status of its answer, if it gave one.
    pub(crate) status: Option<u16>,
    /// Set if the collector said that it has the batch, but not whether it took all of it.
    #[cfg_attr(
        not(any(feature = "otlp-logs", feature = "otlp-metrics")),
        expect(dead_code, reason = "spans are counted as failed all the same")
    )]
    pub(crate) is_taken: bool,
    /// Time that the collector asked to be left alone for.
    pub(crate) retry_after: Option<Duration>,
}

impl FailedExport {
    /// A failure of which the client has told nothing.
    pub(crate) fn other(cause: String) -> Self {
        Self {
            kind: FailureKind::Other,
            cause,
            status: None,
            is_taken: false,
            retry_after: None,
        }
    }
}
