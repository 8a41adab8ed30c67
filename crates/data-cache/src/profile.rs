//! Profile of one run, measured by the engine.

use std::fmt;
use std::time::Duration;

/// Maximum number of operators in a profile; further ones are dropped and counted in [`Profile::left_out`].
pub const MAX_OPERATORS: usize = 64;

/// Time spent in one run, measured by the engine during that run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Profile {
    /// Time from the text to an executable plan.
    pub planning: Duration,
    /// Time that all threads together spent in operators.
    pub cpu: Duration,
    /// Peak size of temporary files in bytes, written because memory did not suffice.
    pub spilled_bytes: u64,
    /// Peak size of buffers in bytes.
    pub peak_memory_bytes: u64,
    /// Operators of the plan, each before its inputs. At most [`MAX_OPERATORS`].
    pub operators: Vec<Operator>,
    /// Number of dropped operators.
    pub left_out: usize,
}

/// One operator of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Operator {
    /// Name of the operator in the engine, such as `HASH_JOIN`.
    pub name: String,
    /// Kind of its work.
    pub kind: OperatorKind,
    /// Depth in the plan; 0 for the operator that returns the result.
    pub depth: usize,
    /// Time of all threads together, without the operator's inputs.
    pub time: Duration,
    /// Number of rows returned.
    pub rows: u64,
    /// Number of rows read from storage; 0 if the operator is not a scan.
    pub rows_scanned: u64,
    /// Table read by a scan, if it has a name.
    pub table: Option<String>,
}

/// Kind of work of an operator, independent of the engine's name for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperatorKind {
    /// Reads from a table or a file.
    Scan,
    /// Joins two inputs.
    Join,
    /// Groups or counts.
    Aggregate,
    /// Sorts, or takes the first rows of an order.
    Sort,
    /// Computes window functions.
    Window,
    /// Anything else: projections, filters, limits.
    #[default]
    Other,
}

impl OperatorKind {
    /// Returns `scan`, `join`, `aggregate`, `sort`, `window` or `other`.
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
    /// Returns the total time of all operators of a kind.
    pub fn time_of(&self, kind: OperatorKind) -> Duration {
        let meant = self.operators.iter().filter(|one| one.kind == kind);
        meant.map(|one| one.time).sum()
    }
}

/// Lists the operators, slowest first: `HASH_JOIN 40.1 ms 500 rows, SEQ_SCAN orders 12.0 ms 90000 rows`.
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
