//! Results of queries.

use std::time::Duration;

use arrow::array::RecordBatch;

use crate::etag::ContentDigest;
use crate::event::{Status, Tier};
use crate::stats::Miss;

/// Details of the status, for headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Stored: tier, remaining TTL in seconds (negative if stale), and compute time.
    Kept {
        tier: Tier,
        fresh_for: i64,
        compute_ms: u64,
    },
    /// Computed: reason for the miss.
    Missed(Miss),
    Bypassed,
}

/// Result of a query.
#[derive(Clone, Debug)]
pub struct QueryResult {
    pub(super) batches: Vec<RecordBatch>,
    pub(super) status: Status,
    pub(super) age: Duration,
    pub(super) origin: Origin,
    /// `None` if the result must not be stored.
    pub(super) digest: Option<ContentDigest>,
}

impl QueryResult {
    /// Returns the batches: at least one, which carries the schema.
    pub fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }

    /// Returns the batches by value.
    pub fn into_batches(self) -> Vec<RecordBatch> {
        self.batches
    }

    /// Returns the origin of the batches.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Returns the time since the result was computed, in whole seconds: 0 unless it came from the cache.
    pub fn age(&self) -> Duration {
        self.age
    }

    #[cfg(feature = "http")]
    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    /// Returns a weak entity tag (RFC 9110 section 8.8.3) for this result in the given representation, before
    /// a body is built. The tag depends on the rows: equal results have equal tags, across restarts and on
    /// every machine. `None` if the result is not cacheable. The first call for a result reads all of its
    /// rows; later calls do not, even for other hits.
    ///
    /// `representation` names everything else that the body depends on, such as `json/2`.
    pub fn etag(&self, representation: &str) -> Option<String> {
        let digest = self.digest.as_ref()?;
        Some(digest.etag(&self.batches, representation))
    }
}
