//! Query engines behind the cache.

use std::time::Duration;

use arrow::array::RecordBatch;

use crate::cancel::Cancel;
use crate::error::Error;
use crate::params::Params;
use crate::profile::Profile;
use crate::sql::Dialect;
use crate::stats::Bypass;

/// A database whose results can be cached. `Warehouse` and `FlightSql` implement it.
pub trait QueryEngine: Send + Sync + 'static {
    /// Returns the identity of the database: two databases that
    /// could return different results have different identities.
    fn identity(&self) -> String;

    /// Name of the database system in telemetry, as in OpenTelemetry (`db.system.name`).
    fn system(&self) -> &'static str {
        "other_sql"
    }

    /// SQL dialect of the statements; it determines which whitespace is insignificant.
    fn dialect(&self) -> Dialect {
        Dialect::Unknown
    }

    /// Returns `true` if [`state`](Self::state) returns within microseconds
    /// for this statement. Otherwise it is called on a thread that may block.
    fn knows(&self, sql: &str) -> bool {
        let _ = sql;
        true
    }

    /// Returns the state of all data, for a volatile statement whose result
    /// may be stored if every name that makes it volatile is permitted.
    ///
    /// # Errors
    ///
    /// Fails with the reason why the result must not be stored.
    fn state_if_permitted(
        &self,
        sql: &str,
        is_permitted: &dyn Fn(&str) -> bool,
    ) -> Result<State, Bypass> {
        let _ = is_permitted;
        self.state(sql)
    }

    /// Number of seconds for which the current date stays the same, counted from 1970-01-01 00:00 UTC: a result that is
    /// stored by permission expires at the next multiple of it at the latest. The default is 900, which holds in every
    /// time zone whose offset is a multiple of 15 minutes; in UTC it may be 86 400.
    fn date_seconds(&self) -> u64 {
        900
    }

    /// Returns the state of the data that a query reads.
    ///
    /// Called for each query before the run, with [`is_current`](Self::is_current) after it. If the engine writes, it
    /// changes the state before a write becomes visible, and returns [`Bypass::WriteRunning`] until the whole write is
    /// visible. For a statement that the engine [`knows`](Self::knows), it should take microseconds.
    ///
    /// # Errors
    ///
    /// Fails with the reason why the result must not be stored; the query runs nevertheless.
    fn state(&self, sql: &str) -> Result<State, Bypass>;

    /// Returns the state for a statement that this engine does not classify ([`Bypass::Unclassified`]), for a query
    /// that requests caching by [`Query::ttl`](crate::Query::ttl).
    ///
    /// # Errors
    ///
    /// Fails with the reason why the result must not be stored nevertheless.
    fn state_if_asked(&self, sql: &str) -> Result<State, Bypass> {
        self.state(sql)
    }

    /// Returns `true` if `state` is unchanged; called after a run. Engines may override it with a cheaper check.
    fn is_current(&self, sql: &str, state: &State) -> bool {
        self.state(sql).as_ref() == Ok(state)
    }

    /// Counts changes after which an earlier state may recur, such as a setting that is changed and changed back. A
    /// result is not stored if the count moved during its run, whatever [`is_current`](Self::is_current) returns. The
    /// default is 0, for an engine whose states never recur.
    fn changes(&self) -> u64 {
        0
    }

    /// Returns an identifier of everything that determines results: the data, the engine's version and settings. The
    /// same identifier on any machine means the same results. `None` if there is none, as for a database that is
    /// written to: its results stay on this machine. Called before and after a run.
    fn content(&self) -> Option<String> {
        None
    }

    /// Checks that the statement may run as a query.
    ///
    /// # Errors
    ///
    /// Fails for a write and for multiple statements.
    fn check(&self, sql: &str) -> Result<(), Error> {
        let _ = sql;
        Ok(())
    }

    /// Runs one statement and waits for its complete result: at least one batch, which carries the schema.
    ///
    /// # Errors
    ///
    /// Fails with the engine's error, or if the query is cancelled through `cancel`, before or during the run.
    fn run(&self, sql: &str, params: &Params, cancel: &Cancel) -> Result<Vec<RecordBatch>, Error>;

    /// [`run`](Self::run) with the engine's profile of the run if it took longer than `slow`.
    ///
    /// # Errors
    ///
    /// Fails like [`run`](Self::run).
    fn run_profiled(
        &self,
        sql: &str,
        params: &Params,
        cancel: &Cancel,
        slow: Duration,
    ) -> Result<(Vec<RecordBatch>, Option<Profile>), Error> {
        let _ = slow;
        self.run(sql, params, cancel).map(|batches| (batches, None))
    }
}

/// State of the data that a query reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Changes with the data, the search path and every setting that affects results; equal tokens mean equal results.
    pub token: String,
    /// Tables that the query may read, in lower case; empty if unknown.
    pub tables: Vec<String>,
}
