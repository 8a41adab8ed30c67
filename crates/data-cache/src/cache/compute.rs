//! Computing what is not there, once however many ask.

use std::sync::mpsc;
use std::time::Instant;

use arrow::array::RecordBatch;

use super::{Cache, Inner, StoreRequest, Stored};
use crate::cancel::Cancel;
use crate::key::Key;
use crate::params::Params;
use crate::sql;

/// What those who waited are told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    /// Look again.
    Stored,
    /// It cannot be stored: compute for yourselves, all at once.
    NotStored,
    /// It failed: the next one tries.
    Failed,
}

/// Tells those who wait what came of it, even if the computation panicked or was dropped.
pub(super) struct Leading<'a> {
    inner: &'a Inner,
    key: Key,
    flight: Cancel,
    pub(super) outcome: Outcome,
}

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        self.inner
            .flights
            .land(&self.key, &self.flight, &self.outcome);
    }
}

impl Inner {
    pub(super) fn leading(&self, key: Key, flight: Cancel) -> Leading<'_> {
        Leading {
            inner: self,
            key,
            flight,
            outcome: Outcome::Failed,
        }
    }
}

/// What is to be computed, for the cache's own book.
pub(crate) struct Plan<'a> {
    pub(crate) key: Key,
    pub(crate) label: &'a str,
    pub(crate) tables: Vec<String>,
    pub(crate) ttl: Option<u64>,
}

impl Plan<'_> {
    /// Runs the computation and keeps its result.
    fn run<E>(
        &self,
        inner: &Inner,
        compute: impl FnOnce() -> Result<Vec<RecordBatch>, E>,
    ) -> Result<(Vec<RecordBatch>, Outcome), E> {
        let (stamp, clock) = (inner.stamp(), Instant::now());
        let batches = compute()?;
        let stored = inner.store(&StoreRequest {
            key: self.key,
            label: self.label,
            tables: self.tables.clone(),
            batches: &batches,
            ttl: self.ttl,
            compute: clock.elapsed(),
            stamp,
            automatic: false,
        });
        let outcome = outcome_of(&stored, self.label);
        Ok((batches, outcome))
    }
}

pub(super) fn outcome_of(stored: &Result<Stored, crate::Error>, label: &str) -> Outcome {
    match stored {
        Ok(Stored::Kept { .. }) => Outcome::Stored,
        Ok(Stored::Skipped(_)) => Outcome::NotStored,
        Err(error) => {
            tracing::warn!(target: "data_cache", %error, label, "result_not_cached");
            Outcome::NotStored
        }
    }
}

impl Cache {
    /// The kept result, or that of `compute`, which is then kept.
    ///
    /// Of callers that miss at the same time one computes, on its own thread; the others wait for it. Where it fails
    /// the next one tries, so that each caller gets its own error.
    ///
    /// ```
    /// use data_cache::{Cache, arrow::array::{ArrayRef, Int64Array, RecordBatch}, params};
    /// # let dir = tempfile::tempdir()?;
    /// # let cache = Cache::open(dir.path())?;
    /// let ask = || cache.get_or_compute("SELECT 1 AS n", &params! {}, Some(60), || {
    ///     let column: ArrayRef = std::sync::Arc::new(Int64Array::from(vec![1]));
    ///     RecordBatch::try_from_iter([("n", column)]).map(|batch| vec![batch])
    /// });
    /// assert_eq!(ask()?, ask()?);
    /// assert_eq!((cache.get_stats().misses, cache.get_stats().hits), (1, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of `compute`.
    pub fn get_or_compute<E>(
        &self,
        sql: &str,
        params: &Params,
        ttl_seconds: Option<u64>,
        compute: impl FnOnce() -> Result<Vec<RecordBatch>, E>,
    ) -> Result<Vec<RecordBatch>, E> {
        let plan = Plan {
            key: self.key(sql, params),
            label: &sql::normalize(sql),
            tables: Vec::new(),
            ttl: ttl_seconds,
        };
        self.inner.get_or_run(&plan, compute)
    }
}

impl Inner {
    pub(crate) fn get_or_run<E>(
        &self,
        plan: &Plan<'_>,
        compute: impl FnOnce() -> Result<Vec<RecordBatch>, E>,
    ) -> Result<Vec<RecordBatch>, E> {
        let found = self.find(&plan.key);
        self.count(&found);
        if let Ok(hit) = found {
            return Ok(hit.into_batches());
        }
        loop {
            let (sender, receiver) = mpsc::sync_channel(1);
            let (_ticket, first) = self.flights.join(plan.key, move |outcome| {
                let _ = sender.send(outcome);
            });
            if let Some(flight) = first {
                let mut leading = self.leading(plan.key, flight);
                // the one before may have landed between the lookup and now
                if let Ok(hit) = self.find(&plan.key) {
                    leading.outcome = Outcome::Stored;
                    return Ok(hit.into_batches());
                }
                let (batches, outcome) = plan.run(self, compute)?;
                leading.outcome = outcome;
                return Ok(batches);
            }
            self.counters
                .coalesced
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            match receiver.recv() {
                Ok(Outcome::NotStored) => return Ok(plan.run(self, compute)?.0),
                _ => {
                    if let Ok(hit) = self.find(&plan.key) {
                        return Ok(hit.into_batches());
                    }
                }
            }
        }
    }
}
