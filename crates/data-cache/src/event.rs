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
    /// From the cache though its time is over, while it is computed anew.
    Stale,
    /// Computed, and kept where possible.
    Miss,
    /// Computed, and not to be kept: the reason.
    Bypass(Bypass),
    /// Computed, since the cache is off (`enabled: false`).
    Off,
}

impl Status {
    /// The value of an `x-cache` header: `hit`, `stale`, `miss`, `bypass` or `off`.
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

/// Which tier answered.
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

/// A query that ran or was answered from the cache. Those who waited for somebody else's run have no event of their own.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct QueryEvent {
    /// The statement without literals.
    pub sql: String,
    /// Name of the database system: `duckdb`, or `other_sql` for an engine that names none.
    pub system: &'static str,
    /// Its first word: `SELECT`, `WITH`, …
    pub query_type: String,
    /// Time of its start.
    pub start: SystemTime,
    /// From the question to the answer, all that it waited for included: a connection, other machines, other processes.
    pub duration: Duration,
    /// Time at the engine, the queue for a connection included; `None` if the engine was not asked.
    pub ran: Option<Duration>,
    /// Rows of the result, 0 on error.
    pub rows: usize,
    /// `true` if the engine failed it.
    pub failed: bool,
    /// Origin of the result.
    pub status: Status,
    /// The engine's account of a run that took longer than `slow_query_ms`; `None` for others, and for an engine that has
    /// none.
    pub profile: Option<Profile>,
}
