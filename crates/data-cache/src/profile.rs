//! An engine's own account of one run.

use std::fmt;
use std::time::Duration;

/// Operators of a profile at most; further ones are left out and counted.
pub const MAX_OPERATORS: usize = 64;

/// Account of the time of one run, as the engine measured it in that very run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Profile {
    /// Time from the text to a plan that can run.
    pub planning: Duration,
    /// Time of all threads together that ran operators.
    pub cpu: Duration,
    /// Bytes that were in temporary files at most, since memory did not suffice.
    pub spilled_bytes: u64,
    /// Bytes of buffers at most.
    pub peak_memory_bytes: u64,
    /// Operators of the plan, each before those that it reads from. At most [`MAX_OPERATORS`].
    pub operators: Vec<Operator>,
    /// Number of operators that were left out.
    pub left_out: usize,
}

/// One operator of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Operator {
    /// The engine's name of it, such as `HASH_JOIN`.
    pub name: String,
    /// Kind of its work.
    pub kind: OperatorKind,
    /// Depth in the plan; 0 for the one whose rows are the result.
    pub depth: usize,
    /// Time of all threads together, without the operators that it reads from.
    pub time: Duration,
    /// Rows that it handed on.
    pub rows: u64,
    /// Rows that it read from storage; 0 for one that is no scan.
    pub rows_scanned: u64,
    /// Table that a scan reads, if it has a name.
    pub table: Option<String>,
}

/// Kind of work of an operator, whatever its engine calls it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperatorKind {
    /// Reads from a table or a file.
    Scan,
    /// Joins two inputs.
    Join,
    /// Groups or counts.
    Aggregate,
    /// Sorts, or takes the first of an order.
    Sort,
    /// Computes over windows.
    Window,
    /// Anything else: projections, filters, limits.
    #[default]
    Other,
}

impl OperatorKind {
    /// `scan`, `join`, `aggregate`, `sort`, `window` or `other`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Join => "join",
            Self::Aggregate => "aggregate",
            Self::Sort => "sort",
            Self::Window => "window",
            Self::Other => "other",
        }
    }
}

impl Profile {
    /// Time of all operators of a kind.
    pub fn time_of(&self, kind: OperatorKind) -> Duration {
        let meant = self.operators.iter().filter(|one| one.kind == kind);
        meant.map(|one| one.time).sum()
    }
}

/// The operators, those that took longest first: `HASH_JOIN 40.1 ms 500 rows, SEQ_SCAN orders 12.0 ms 90000 rows`.
impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut operators: Vec<_> = self.operators.iter().collect();
        operators.sort_by_key(|one| std::cmp::Reverse(one.time));
        for (at, one) in operators.into_iter().enumerate() {
            let separator = if at > 0 { ", " } else { "" };
            write!(f, "{separator}{}", one.name)?;
            if let Some(table) = &one.table {
                write!(f, " {table}")?;
            }
            let millis = one.time.as_secs_f64() * 1000.0;
            write!(f, " {millis:.1} ms {} rows", one.rows)?;
        }
        match self.left_out {
            0 => Ok(()),
            more => write!(f, ", {more} more"),
        }
    }
}
