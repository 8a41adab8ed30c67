//! What a query turned out to be.

use std::time::{Duration, SystemTime};

/// Where a result came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// From the cache.
    Hit(Tier),
    /// Computed, and kept where possible.
    Miss,
    /// Computed, and not to be kept: the reason.
    Bypass(&'static str),
}

/// Which tier answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tier {
    /// Memory.
    Memory,
    /// Files.
    Disk,
}

/// A query that ran or was answered from the cache.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct QueryEvent {
    /// The statement without literals.
    pub sql: String,
    /// Its first word: `SELECT`, `WITH`, …
    pub query_type: String,
    /// When it began.
    pub start: SystemTime,
    /// How long the caller's work took, the queue for a thread included.
    pub duration: Duration,
    /// Rows of the result, 0 on error.
    pub rows: usize,
    /// Whether the engine failed it.
    pub failed: bool,
    /// Where the result came from.
    pub status: Status,
}
