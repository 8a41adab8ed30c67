//! What a query is answered with.

use std::time::Duration;

use arrow::array::RecordBatch;
use sha2::{Digest, Sha256};

use crate::event::Status;
use crate::key::{Key, hex};

/// The answer to a query.
#[derive(Clone, Debug)]
pub struct QueryResult {
    pub(super) batches: Vec<RecordBatch>,
    pub(super) status: Status,
    pub(super) age: Duration,
    pub(super) validator: Option<Key>,
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

    /// Where they came from.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Time since they were computed, in whole seconds: 0 unless they came from the cache.
    pub fn age(&self) -> Duration {
        self.age
    }

    /// A weak entity tag (RFC 9110 section 8.8.3) for this result in the given representation, known before a body is
    /// built. It stays the same until the data changes, over restarts too. `None` where the result is not cacheable.
    ///
    /// `representation` names whatever else the body depends on, such as `json/2`.
    pub fn etag(&self, representation: &str) -> Option<String> {
        let mut digest = Sha256::new_with_prefix(self.validator?.as_bytes());
        digest.update(representation);
        let digest = digest.finalize();
        Some(format!("W/\"{}\"", hex(&digest[..16])))
    }
}
