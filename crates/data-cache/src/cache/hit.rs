use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;

use crate::etag::ContentDigest;
use crate::event::Tier;
use crate::memory::Entry;
use crate::stats::Miss;

/// A result that the cache had.
#[derive(Clone)]
pub struct Hit {
    pub(super) entry: Arc<Entry>,
    /// Seconds that it may be taken for: its own time, or that of the caller if it is shorter.
    pub(super) ttl: u64,
    pub(super) tier: Tier,
    pub(super) age: Duration,
}

impl Hit {
    /// The batches; at least one, which carries the schema. They are shared with the cache, not copied.
    pub fn batches(&self) -> &[RecordBatch] {
        &self.entry.batches
    }

    /// The batches, by value.
    pub fn into_batches(self) -> Vec<RecordBatch> {
        match Arc::try_unwrap(self.entry) {
            Ok(entry) => entry.batches,
            Err(entry) => entry.batches.clone(),
        }
    }

    /// Which tier had it.
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// Time since it was stored, in whole seconds.
    pub fn age(&self) -> Duration {
        self.age
    }

    /// Returns `true` if its time is over, and the caller takes it nevertheless.
    pub(crate) fn is_stale(&self) -> bool {
        self.age.as_secs() >= self.ttl
    }

    /// Seconds until its time is over; negative for one that is stale.
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

    /// Milliseconds that it took to compute; 0 if unknown.
    pub(crate) fn compute_ms(&self) -> u64 {
        self.entry.compute_ms
    }

    /// Names this stored result: another result under the same key has another.
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
    /// The cache had it.
    Hit(Hit),
    /// It had not: the reason.
    Miss(Miss),
}
