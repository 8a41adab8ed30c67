//! Events of queries.

use std::time::{Duration, SystemTime};

use crate::profile::Profile;
use crate::stats::Bypass;

/// Origin of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// From the cache.
    Hit(Tier),
    /// From the cache, although expired; it is recomputed in the background.
    Stale,
    /// Computed, and stored where possible.
    Miss,
    /// Computed and must not be stored, for the given reason.
    Bypass(Bypass),
    /// Computed, since the cache is off (`enabled: false`).
    Off,
}

impl Status {
    /// Returns the value of an `x-cache` header: `hit`, `stale`, `miss`, `bypass` or `off`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit(_) => "hit",
            Self::Stale => "stale",
            Self::Miss => "miss",
            Self::Bypass(_) => "bypass",
            Self::Off => "off",
        }
    }
}

/// Tier that returned the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tier {
    /// Memory.
    Memory,
    /// Files.
    Disk,
    /// The bucket that machines share (feature `shared`).
    Shared,
}

/// A query that ran, or whose result came from the cache. Callers
/// that waited for another caller's run get no event of their own.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct QueryEvent {
    /// The statement without literals.
    pub sql: String,
    /// Name of the database system: `duckdb`, or `other_sql` for an engine that names none.
    pub system: &'static str,
    /// First word of the statement: `SELECT`, `WITH`, …
    pub query_type: String,
    /// Time at which the query started.
    pub start: SystemTime,
    /// Time from call to result, including all waiting: for a connection, other machines, other processes.
    pub duration: Duration,
    /// Time in the engine, including the queue for a connection; `None` if the engine was not called.
    pub ran: Option<Duration>,
    /// Rows of the result; 0 on error.
    pub rows: usize,
    /// `true` if the query failed.
    pub failed: bool,
    /// Origin of the result.
    pub status: Status,
    /// The engine's profile of a run that took longer than `slow_query_ms`;
    /// `None` for faster runs and for engines without profiles.
    pub profile: Option<Profile>,
}
