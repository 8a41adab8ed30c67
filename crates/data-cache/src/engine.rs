//! Engines that answer a query when the cache does not.

use std::time::Duration;

use arrow::array::RecordBatch;

use crate::cancel::Cancel;
use crate::error::Error;
use crate::params::Params;
use crate::profile::Profile;
use crate::sql::Dialect;
use crate::stats::Bypass;

/// A database that a cache can stand in front of. `Warehouse` is one, `FlightSql` another.
pub trait QueryEngine: Send + Sync + 'static {
    /// Names the database: two that could answer differently have different names.
    fn identity(&self) -> String;

    /// Name of the database system in telemetry, as OpenTelemetry has it (`db.system.name`).
    fn system(&self) -> &'static str {
        "other_sql"
    }

    /// Language of its statements: it says which spaces mean nothing.
    fn dialect(&self) -> Dialect {
        Dialect::Unknown
    }

    /// Returns `true` if [`state`](Self::state) answers for this statement within microseconds. Otherwise it is asked on a
    /// thread that may block.
    fn knows(&self, sql: &str) -> bool {
        let _ = sql;
        true
    }

    /// The state of everything, for a result that may be kept if each name that its volatility comes from is permitted.
    ///
    /// # Errors
    ///
    /// Fails with the reason why the result must not be kept.
    fn state_if_permitted(
        &self,
        sql: &str,
        is_permitted: &dyn Fn(&str) -> bool,
    ) -> Result<State, Bypass> {
        let _ = is_permitted;
        self.state(sql)
    }

    /// Seconds for which the current date stays the same, counted from 1970-01-01 00:00 UTC on: a result that is kept by
    /// permission is kept until the next multiple of them at most. The default is 900, which holds in every time zone whose
    /// offset is a multiple of 15 minutes; in UTC it may be 86 400.
    fn date_seconds(&self) -> u64 {
        900
    }

    /// The state of what a query reads, or why its result must not be kept.
    ///
    /// It is asked before a run, and [`is_current`](Self::is_current) after it. An engine that writes
    /// changes its answer before a write can be seen, and answers [`Bypass::WriteRunning`] until all of it can.
    /// It is called for each query: for a statement that it [`knows`](Self::knows) it should take microseconds.
    ///
    /// # Errors
    ///
    /// Fails with the reason why the result must not be kept; the query runs all the same.
    fn state(&self, sql: &str) -> Result<State, Bypass>;

    /// The state for a statement that this engine does not classify ([`Bypass::Unclassified`]), of a query that asks for its
    /// result to be cached by [`Query::ttl`](crate::Query::ttl).
    ///
    /// # Errors
    ///
    /// Fails with the reason why the result must not be kept all the same.
    fn state_if_asked(&self, sql: &str) -> Result<State, Bypass> {
        self.state(sql)
    }

    /// Returns `true` if nothing moved since `state` was asked for; asked after a run. Engines may have a cheaper answer.
    fn is_current(&self, sql: &str, state: &State) -> bool {
        self.state(sql).as_ref() == Ok(state)
    }

    /// Counts changes after which a state may come back, as that of a setting that is set back: a result whose run one of them
    /// came into is not kept, whatever [`is_current`](Self::is_current) says. The default is 0, for an engine whose states never
    /// come back.
    fn changes(&self) -> u64 {
        0
    }

    /// Names the content that every result follows from: the data, the engine's version and settings. The same text on any
    /// machine, the same answers. `None` if nobody can name it, as of a database that is written: its results stay on this
    /// machine. It is asked before a run and after it.
    fn content(&self) -> Option<String> {
        None
    }

    /// Checks that this is a statement that may run as a query.
    ///
    /// # Errors
    ///
    /// Fails for a write and for several statements.
    fn check(&self, sql: &str) -> Result<(), Error> {
        let _ = sql;
        Ok(())
    }

    /// Runs one statement and waits for all of its result: at least one batch, which carries the schema.
    ///
    /// # Errors
    ///
    /// Fails with the engine's error, and if `cancel` came first.
    fn run(&self, sql: &str, params: &Params, cancel: &Cancel) -> Result<Vec<RecordBatch>, Error>;

    /// [`run`](Self::run), with the engine's own account of where the time went if it took longer than `slow`.
    ///
    /// # Errors
    ///
    /// Fails as [`run`](Self::run) does.
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

/// The state of what a query reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Changes with data, search path and every setting that changes results; the same text, the same answer.
    pub token: String,
    /// The tables that the query may read, in lower case; empty where nobody knows.
    pub tables: Vec<String>,
}
