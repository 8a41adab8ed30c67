//! Cases that every [`QueryEngine`] has to pass: types, NULLs, parameters, errors, cancellation, large and empty
//! results, schema, and results through a cache.
//!
//! ```
//! # #[cfg(feature = "duckdb")] {
//! use data_cache::{Warehouse, testing::contract::Contract};
//!
//! let report = Contract::new(Warehouse::in_memory()?).run();
//! assert_eq!(report.failed().count(), 0, "{report}");
//! # }
//! # Ok::<(), data_cache::Error>(())
//! ```

mod answers;
mod cached;
mod stops;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::util::display::array_value_to_string;

use crate::cancel::Cancel;
use crate::engine::{QueryEngine, State};
use crate::error::Error;
use crate::params::Params;
use crate::profile::Profile;
use crate::sql::Dialect;
use crate::stats::Bypass;

type Outcome = Result<(), String>;
type Case = (&'static str, fn(&Contract) -> Outcome);

/// Cases for one engine. The statements are standard SQL with `VALUES`, `CAST` and `WITH`; no table is read or written.
pub struct Contract {
    engine: Arc<dyn QueryEngine>,
    parameter: fn(usize, &str) -> String,
    left_out: Vec<&'static str>,
}

/// Outcome of each case.
#[derive(Debug)]
pub struct Report {
    engine: String,
    outcomes: Vec<(&'static str, Outcome)>,
    left_out: Vec<&'static str>,
}

impl Contract {
    /// Creates the cases for this engine, with `CAST($1 AS INTEGER)` and the like for parameters.
    pub fn new(engine: impl QueryEngine) -> Self {
        Self {
            engine: Arc::new(engine),
            parameter: |at, kind| format!("CAST(${at} AS {kind})"),
            left_out: Vec::new(),
        }
    }

    /// Sets the text of the parameter at a position, counted from 1, as an expression of the given SQL type.
    #[must_use]
    pub fn parameter(mut self, text: fn(usize, &str) -> String) -> Self {
        self.parameter = text;
        self
    }

    /// Leaves a case out, for a database that lacks the tested feature. The report lists it.
    #[must_use]
    pub fn leave_out(mut self, case: &'static str) -> Self {
        self.left_out.push(case);
        self
    }

    /// Runs every case, one after the other. Takes some seconds; a case that panics fails.
    pub fn run(self) -> Report {
        let cases = [answers::CASES, stops::CASES, cached::CASES].concat();
        let taken = cases
            .iter()
            .filter(|(name, _)| !self.left_out.contains(name));
        let outcomes = taken.map(|(name, case)| {
            let outcome = catch_unwind(AssertUnwindSafe(|| case(&self)));
            (
                *name,
                outcome.unwrap_or_else(|_| Err("panicked".to_owned())),
            )
        });
        Report {
            engine: self.engine.identity(),
            outcomes: outcomes.collect(),
            left_out: self.left_out.clone(),
        }
    }

    fn ask(&self, sql: &str, params: &Params) -> Result<Vec<RecordBatch>, Error> {
        self.engine.check(sql)?;
        self.engine.run(sql, params, &Cancel::default())
    }

    /// Returns the rows as text; an error fails the case.
    fn rows(&self, sql: &str, params: &Params) -> Result<Vec<String>, String> {
        let batches = self
            .ask(sql, params)
            .map_err(|error| format!("{sql}: {error}"))?;
        rows_of(&batches)
    }

    fn expect(&self, sql: &str, params: &Params, expected: &[&str]) -> Outcome {
        let found = self.rows(sql, params)?;
        same(sql, &found, &expected)
    }

    /// Returns the statement with its parameters in place of `?TYPE?`.
    fn with_parameters(&self, sql: &str) -> String {
        let mut text = String::new();
        for (at, part) in sql.split('?').enumerate() {
            match at % 2 {
                0 => text.push_str(part),
                _ => text.push_str(&(self.parameter)(at / 2 + 1, part)),
            }
        }
        text
    }
}

impl Report {
    /// Returns the names of the cases that passed.
    pub fn passed(&self) -> impl Iterator<Item = &'static str> {
        let passed = self.outcomes.iter().filter(|(_, outcome)| outcome.is_ok());
        passed.map(|(name, _)| *name)
    }

    /// Returns the names of the cases that failed, each with its message.
    pub fn failed(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let outcomes = self.outcomes.iter();
        outcomes.filter_map(|(name, outcome)| Some((*name, outcome.as_ref().err()?.as_str())))
    }
}

/// One line per case.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.passed().count();
        writeln!(
            f,
            "{}: {count} of {} cases passed",
            self.engine,
            self.outcomes.len()
        )?;
        for (name, outcome) in &self.outcomes {
            match outcome {
                Ok(()) => writeln!(f, "  passed    {name}")?,
                Err(found) => writeln!(f, "  FAILED    {name}: {found}")?,
            }
        }
        for name in &self.left_out {
            writeln!(f, "  skipped   {name}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contract")
            .field("engine", &self.engine.identity())
            .field("left_out", &self.left_out)
            .finish_non_exhaustive()
    }
}

fn same<T: fmt::Debug + PartialEq<U>, U: fmt::Debug>(
    what: &str,
    found: &T,
    expected: &U,
) -> Outcome {
    match found == expected {
        true => Ok(()),
        false => Err(format!("{what}: expected {expected:?}, found {found:?}")),
    }
}

fn rows_of(batches: &[RecordBatch]) -> Result<Vec<String>, String> {
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let columns = batch.columns().iter();
            let values = columns.map(|column| match column.is_null(row) {
                true => Ok("NULL".to_owned()),
                false => array_value_to_string(column, row),
            });
            let values: Result<Vec<_>, _> = values.collect();
            rows.push(values.map_err(|error| error.to_string())?.join("|"));
        }
    }
    Ok(rows)
}

/// Wraps the engine, so that a cache can take it by value.
struct Borrowed(Arc<dyn QueryEngine>);

impl QueryEngine for Borrowed {
    fn identity(&self) -> String {
        self.0.identity()
    }

    fn system(&self) -> &'static str {
        self.0.system()
    }

    fn dialect(&self) -> Dialect {
        self.0.dialect()
    }

    fn knows(&self, sql: &str) -> bool {
        self.0.knows(sql)
    }

    fn state_if_permitted(
        &self,
        sql: &str,
        is_permitted: &dyn Fn(&str) -> bool,
    ) -> Result<State, Bypass> {
        self.0.state_if_permitted(sql, is_permitted)
    }

    fn state(&self, sql: &str) -> Result<State, Bypass> {
        self.0.state(sql)
    }

    fn state_if_asked(&self, sql: &str) -> Result<State, Bypass> {
        self.0.state_if_asked(sql)
    }

    fn is_current(&self, sql: &str, state: &State) -> bool {
        self.0.is_current(sql, state)
    }

    fn changes(&self) -> u64 {
        self.0.changes()
    }

    fn check(&self, sql: &str) -> Result<(), Error> {
        self.0.check(sql)
    }

    fn run(&self, sql: &str, params: &Params, cancel: &Cancel) -> Result<Vec<RecordBatch>, Error> {
        self.0.run(sql, params, cancel)
    }

    fn run_profiled(
        &self,
        sql: &str,
        params: &Params,
        cancel: &Cancel,
        slow: Duration,
    ) -> Result<(Vec<RecordBatch>, Option<Profile>), Error> {
        self.0.run_profiled(sql, params, cancel, slow)
    }
}
