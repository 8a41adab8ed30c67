//! What answers a query when the cache does not.

use arrow::array::RecordBatch;

use crate::cancel::Cancel;
use crate::error::Error;
use crate::params::Params;
use crate::stats::Bypass;

/// A database that a cache can stand in front of. `Warehouse` is one; a client of a distributed engine can be another.
pub trait QueryEngine: Send + Sync + 'static {
    /// Names the database: two that could answer differently have different names.
    fn identity(&self) -> String;

    /// The state of what a query reads, or why its result must not be kept.
    ///
    /// It is asked before a run, and [`is_current`](Self::is_current) after it. An engine that writes
    /// changes its answer before a write can be seen, and answers [`Bypass::WriteRunning`] until all of it can.
    /// It is called for each query: it should take microseconds.
    fn state(&self, sql: &str) -> Result<State, Bypass>;

    /// Whether nothing moved since `state` was asked for; asked after a run. Engines may have a cheaper answer.
    fn is_current(&self, sql: &str, state: &State) -> bool {
        self.state(sql).as_ref() == Ok(state)
    }

    /// Whether this is a statement that may be run as a query.
    ///
    /// # Errors
    ///
    /// Where it is not: a write, or several statements.
    fn check(&self, sql: &str) -> Result<(), Error> {
        let _ = sql;
        Ok(())
    }

    /// Runs one statement and waits for all of its result: at least one batch, which carries the schema.
    ///
    /// # Errors
    ///
    /// What the engine says; also when `cancel` came first.
    fn run(&self, sql: &str, params: &Params, cancel: &Cancel) -> Result<Vec<RecordBatch>, Error>;
}

/// The state of what a query reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Changes with data, search path and every setting that changes results; the same text, the same answer.
    pub token: String,
    /// The tables that the query may read, in lower case; empty where nobody knows.
    pub tables: Vec<String>,
}
