//! Questions to the tier, and their answers.

use std::time::Duration;

use arrow::array::RecordBatch;

use crate::key::Key;
use crate::pool::Lent;

/// A lookup, of a result that may be another machine's.
pub(crate) struct Question<'a> {
    pub(crate) key: &'a Key,
    /// The statement without its literals, or the function.
    pub(crate) kind: &'a str,
    /// Says of a creation time and a lifetime if the result is taken.
    pub(crate) is_fresh: &'a dyn Fn(u64, u64) -> bool,
    /// Somebody waits for the answer.
    pub(crate) is_wanted: &'a dyn Fn() -> bool,
    /// Takes a place among those who wait for other machines; `None` if there is none.
    pub(crate) wait: &'a dyn Fn() -> Option<Lent>,
}

/// A result that another machine computed, or that others may want.
pub(crate) struct Offer {
    pub(crate) batches: Vec<RecordBatch>,
    /// Seconds since 1970.
    pub(crate) created_at: u64,
    pub(crate) ttl_seconds: u64,
    pub(crate) compute: Duration,
}
