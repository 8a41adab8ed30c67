//! The same calls for async callers: memory is asked at once, files on threads of the cache. No runtime is needed.

use std::future::Future;
use std::time::Instant;

use arrow::array::RecordBatch;
use tokio::sync::oneshot;

use super::compute::{Outcome, Plan, outcome_of};
use super::{Cache, Hit, Inner, StoreRequest, Stored};
use crate::cancel::Cancel;
use crate::error::Error;
use crate::flight::Ticket;
use crate::key::Key;
use crate::params::Params;
use crate::sql;
use crate::stats::Miss;

impl Cache {
    /// [`get`](Self::get) for async callers.
    pub async fn get_async(&self, sql: &str, params: &Params) -> Option<Hit> {
        let found = self.find_async(self.key(sql, params)).await;
        self.inner.count(&found);
        found.ok()
    }

    /// [`set`](Self::set) for async callers.
    ///
    /// # Errors
    ///
    /// As for [`set`](Self::set).
    pub async fn set_async(
        &self,
        sql: &str,
        batches: &[RecordBatch],
        params: &Params,
        ttl_seconds: Option<u64>,
    ) -> Result<Stored, Error> {
        let (cache, sql) = (self.clone(), sql.to_owned());
        let (batches, params) = (batches.to_vec(), params.clone());
        self.on_pool(move || cache.set(&sql, &batches, &params, ttl_seconds))
            .await
            .unwrap_or(Ok(Stored::Skipped(super::Skip::Io)))
    }

    /// [`get_or_compute`](Self::get_or_compute) for async callers.
    ///
    /// Inside of a tokio runtime the computation is a task of its own: it goes on when its caller is dropped.
    ///
    /// # Errors
    ///
    /// Those of `compute`.
    pub async fn get_or_compute_async<E: Send + 'static>(
        &self,
        sql: &str,
        params: &Params,
        ttl_seconds: Option<u64>,
        compute: impl Future<Output = Result<Vec<RecordBatch>, E>> + Send + 'static,
    ) -> Result<Vec<RecordBatch>, E> {
        let plan = Plan {
            key: self.key(sql, params),
            label: &sql::normalize(sql),
            tables: Vec::new(),
            ttl: ttl_seconds,
        };
        match self.flight_role(&plan).await {
            FlightRole::Hit(hit) => Ok(hit.into_batches()),
            FlightRole::Uncoalesced => self.run(&plan, compute).await.map(|(batches, _)| batches),
            FlightRole::Leader(ticket, flight) => {
                let (cache, key, label) = (self.clone(), plan.key, plan.label.to_owned());
                detached(async move {
                    let plan = Plan {
                        key,
                        label: &label,
                        tables: Vec::new(),
                        ttl: ttl_seconds,
                    };
                    cache.lead(&plan, ticket, flight, compute).await
                })
                .await
            }
        }
    }

    /// The kept result, or that of `compute`, which is part of its caller: dropped with it, the next one computes.
    pub(crate) async fn get_or_await<E>(
        &self,
        plan: &Plan<'_>,
        compute: impl Future<Output = Result<Vec<RecordBatch>, E>>,
    ) -> Result<Vec<RecordBatch>, E> {
        match self.flight_role(plan).await {
            FlightRole::Hit(hit) => Ok(hit.into_batches()),
            FlightRole::Uncoalesced => self.run(plan, compute).await.map(|(batches, _)| batches),
            FlightRole::Leader(ticket, flight) => self.lead(plan, ticket, flight, compute).await,
        }
    }

    /// Looks up, and waits for those who compute already, until it is found or one's own turn.
    async fn flight_role(&self, plan: &Plan<'_>) -> FlightRole {
        let found = self.find_async(plan.key).await;
        self.inner.count(&found);
        if let Ok(hit) = found {
            return FlightRole::Hit(hit);
        }
        loop {
            let (sender, receiver) = oneshot::channel();
            let (ticket, first) = self.inner.flights.join(plan.key, move |outcome| {
                let _ = sender.send(outcome);
            });
            if let Some(flight) = first {
                return FlightRole::Leader(ticket, flight);
            }
            self.inner
                .counters
                .coalesced
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if let Ok(Outcome::NotStored) = receiver.await {
                return FlightRole::Uncoalesced;
            }
            if let Ok(hit) = self.find_async(plan.key).await {
                return FlightRole::Hit(hit);
            }
        }
    }

    async fn lead<E>(
        &self,
        plan: &Plan<'_>,
        _ticket: Seat,
        flight: Cancel,
        compute: impl Future<Output = Result<Vec<RecordBatch>, E>>,
    ) -> Result<Vec<RecordBatch>, E> {
        let mut leading = self.inner.leading(plan.key, flight);
        // the one before may have landed between the lookup and now
        if let Ok(hit) = self.find_async(plan.key).await {
            leading.outcome = Outcome::Stored;
            return Ok(hit.into_batches());
        }
        let (batches, outcome) = self.run(plan, compute).await?;
        leading.outcome = outcome;
        Ok(batches)
    }

    async fn run<E>(
        &self,
        plan: &Plan<'_>,
        compute: impl Future<Output = Result<Vec<RecordBatch>, E>>,
    ) -> Result<(Vec<RecordBatch>, Outcome), E> {
        let (stamp, clock) = (self.inner.stamp(), Instant::now());
        let batches = compute.await?;
        let (inner, kept, computed_in) = (self.inner.clone(), batches.clone(), clock.elapsed());
        let (key, label, ttl) = (plan.key, plan.label.to_owned(), plan.ttl);
        let tables = plan.tables.clone();
        let stored = self.on_pool(move || {
            let stored = inner.store(&StoreRequest {
                key,
                label: &label,
                tables,
                batches: &kept,
                ttl,
                compute: computed_in,
                stamp,
                automatic: false,
            });
            outcome_of(&stored, &label)
        });
        let outcome = stored.await.unwrap_or(Outcome::NotStored);
        Ok((batches, outcome))
    }

    /// Asks memory here, and files elsewhere.
    pub(crate) async fn find_async(&self, key: Key) -> Result<Hit, Miss> {
        if !self.inner.config.enabled {
            return Err(Miss::Disabled);
        }
        match self.inner.find_in_memory(&key) {
            Err(Miss::Absent) if self.inner.disk.is_some() => {}
            found => return found,
        }
        let inner: std::sync::Arc<Inner> = self.inner.clone();
        self.on_pool(move || inner.find(&key))
            .await
            .unwrap_or(Err(Miss::Io))
    }

    async fn on_pool<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        self.inner.pool.run(move || {
            let _ = sender.send(work());
        });
        receiver.await.ok()
    }
}

type Seat = Ticket<Key, Outcome>;

enum FlightRole {
    Hit(Hit),
    /// Results of this question are not stored: waiting would be in vain.
    Uncoalesced,
    Leader(Seat, Cancel),
}

/// Runs a future as a task where there is a runtime, so that it goes on when its caller is dropped.
async fn detached<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return work.await;
    };
    match runtime.spawn(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // the runtime is shutting down: nobody will ask for the answer
            Err(_) => std::future::pending().await,
        },
    }
}
