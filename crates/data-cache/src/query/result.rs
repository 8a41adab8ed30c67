//! Answer to a query.

use std::time::Duration;

use arrow::array::RecordBatch;

use crate::etag::ContentDigest;
use crate::event::{Status, Tier};
use crate::stats::Miss;

/// More about the status, for headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Kept: where, for how many seconds more, negative for a stale one, and what computing took.
    Kept {
        tier: Tier,
        fresh_for: i64,
        compute_ms: u64,
    },
    /// Computed: why there was no hit.
    Missed(Miss),
    Bypassed,
}

/// The answer to a query.
#[derive(Clone, Debug)]
pub struct QueryResult {
    pub(super) batches: Vec<RecordBatch>,
    pub(super) status: Status,
    pub(super) age: Duration,
    pub(super) origin: Origin,
    /// `None` if the result must not be kept.
    pub(super) digest: Option<ContentDigest>,
}

impl QueryResult {
    /// The batches; at least one, which carries the schema.
    pub fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }

    /// The batches, by value.
    pub fn into_batches(self) -> Vec<RecordBatch> {
        self.batches
    }

    /// Origin of the batches.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Time since they were computed, in whole seconds: 0 unless they came from the cache.
    pub fn age(&self) -> Duration {
        self.age
    }

    #[cfg(feature = "http")]
    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    /// A weak entity tag (RFC 9110 section 8.8.3) for this result in the given representation, known before a body is
    /// built. It follows from the rows: equal results have equal tags, over restarts and on every machine. `None` if the
    /// result is not cacheable. The first call for a result reads all of its rows; later ones, of other hits too, do not.
    ///
    /// `representation` names whatever else the body depends on, such as `json/2`.
    pub fn etag(&self, representation: &str) -> Option<String> {
        let digest = self.digest.as_ref()?;
        Some(digest.etag(&self.batches, representation))
    }
}
