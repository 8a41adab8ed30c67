use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;

use crate::etag::ContentDigest;
use crate::event::Tier;
use crate::memory::Entry;
use crate::stats::Miss;

/// A result found in the cache.
#[derive(Clone)]
pub struct Hit {
    pub(super) entry: Arc<Entry>,
    /// Seconds for which it may be used: its own TTL, or the caller's if that is shorter.
    pub(super) ttl: u64,
    pub(super) tier: Tier,
    pub(super) age: Duration,
}

impl Hit {
    /// Returns the batches: at least one, which carries the schema. They are shared with the cache, not copied.
    pub fn batches(&self) -> &[RecordBatch] {
        &self.entry.batches
    }

    /// Returns the batches by value.
    pub fn into_batches(self) -> Vec<RecordBatch> {
        match Arc::try_unwrap(self.entry) {
            Ok(entry) => entry.batches,
            Err(entry) => entry.batches.clone(),
        }
    }

    /// Returns the tier that held the result.
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// Returns the time since the result was stored, in whole seconds.
    pub fn age(&self) -> Duration {
        self.age
    }

    /// Returns `true` if the result is expired and the caller accepts it nevertheless.
    pub(crate) fn is_stale(&self) -> bool {
        self.age.as_secs() >= self.ttl
    }

    /// Returns the seconds until the result expires; negative if it is stale.
    pub(crate) fn fresh_for(&self) -> i64 {
        let seconds = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        seconds(self.ttl) - seconds(self.age.as_secs())
    }

    pub(crate) fn digest(&self) -> ContentDigest {
        self.entry.digest.clone()
    }

    pub(crate) fn is_on_disk(&self) -> bool {
        self.entry.on_disk
    }

    /// Compute time in milliseconds; 0 if unknown.
    pub(crate) fn compute_ms(&self) -> u64 {
        self.entry.compute_ms
    }

    /// Returns the id of this stored result; another result under the same key has another id.
    pub fn entry_id(&self) -> &str {
        &self.entry.id
    }
}

impl std::fmt::Debug for Hit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rows: usize = self.batches().iter().map(RecordBatch::num_rows).sum();
        f.debug_struct("Hit")
            .field("rows", &rows)
            .field("tier", &self.tier)
            .field("age", &self.age)
            .finish_non_exhaustive()
    }
}

/// Result of a lookup.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Lookup {
    /// Found.
    Hit(Hit),
    /// Not found, for the given reason.
    Miss(Miss),
}
