//! Lookups in the tier, and results.

use std::time::Duration;

use arrow::array::RecordBatch;

use crate::key::Key;
use crate::pool::Waiting;

/// A lookup of a result that another machine may have.
pub(crate) struct LookupRequest<'a> {
    pub(crate) key: &'a Key,
    /// The statement without its literals, or the function.
    pub(crate) kind: &'a str,
    /// Returns `true` if a result with this creation time and TTL is accepted.
    pub(crate) is_fresh: &'a dyn Fn(u64, u64) -> bool,
    /// Returns `true` while a caller waits for the result.
    pub(crate) is_wanted: &'a dyn Fn() -> bool,
    /// Registers a thread that waits for other machines; `None` if too many wait.
    pub(crate) wait: &'a dyn Fn() -> Option<Waiting>,
}

/// A result that another machine computed, or that other machines may use.
pub(crate) struct Offer {
    pub(crate) batches: Vec<RecordBatch>,
    /// Seconds since 1970.
    pub(crate) created_at: u64,
    pub(crate) ttl_seconds: u64,
    pub(crate) compute: Duration,
}
