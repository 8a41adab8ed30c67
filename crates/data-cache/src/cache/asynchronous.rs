//! The loop for async callers: memory is searched at once, files on threads of the cache. No runtime is needed.

use std::future::Future;
use std::sync::Arc;

use arrow::array::RecordBatch;
use tokio::sync::oneshot;

use super::Cache;
use super::carried::Carried;
use super::coalesce::{Computed, Executor, FlightRole, Plan};
use super::hit::Hit;
use super::inner::{Inner, Outcome};
use super::look_up::Limits;
use super::shared::{Duty, Placed, SharedTurn};
use super::skip::Skip;
use super::store::Stored;
use super::turn::{Turn, WaitingThread};
use crate::error::Error;
use crate::key::Key;
use crate::params::Params;
use crate::stats::Miss;

impl Cache {
    /// [`get`](Self::get) for async callers.
    pub async fn get_async(&self, sql: &str, params: &Params) -> Option<Hit> {
        let (key, label) = self.key_and_label(sql, params);
        let found = match self.inner.shares_computed() {
            false => self.inner.find_async(key, Limits::ENTRY_TTL).await,
            true => {
                let (inner, label) = (self.inner.clone(), label.into_owned());
                let find = move || inner.find_placed(inner.placed(key), &label);
                self.inner.on_readers(find).await.unwrap_or(Err(Miss::Io))
            }
        };
        self.inner.count(&found);
        found.ok()
    }

    /// [`set`](Self::set) for async callers.
    ///
    /// # Errors
    ///
    /// Fails as [`set`](Self::set) does.
    pub async fn set_async(
        &self,
        sql: &str,
        batches: &[RecordBatch],
        params: &Params,
        ttl_seconds: Option<u64>,
    ) -> Result<Stored, Error> {
        let (cache, sql) = (self.clone(), sql.to_owned());
        let (batches, params) = (batches.to_vec(), params.clone());
        self.inner
            .on_writers(move || cache.set(&sql, &batches, &params, ttl_seconds))
            .await
            .unwrap_or(Ok(Stored::Skipped(Skip::Io)))
    }

    /// [`get_or_compute`](Self::get_or_compute) for async callers.
    ///
    /// Inside a tokio runtime, the computation is a separate task that continues if its caller is dropped.
    ///
    /// # Errors
    ///
    /// Fails with the error of `compute`.
    pub async fn get_or_compute_async<E: Send + 'static>(
        &self,
        sql: &str,
        params: &Params,
        ttl_seconds: Option<u64>,
        compute: impl Future<Output = Result<Vec<RecordBatch>, E>> + Send + 'static,
    ) -> Result<Vec<RecordBatch>, E> {
        let (key, label) = self.key_and_label(sql, params);
        let placed = self.inner.placed_async(key, true).await;
        let landed = self.inner.flights.landed();
        let limits = Limits::ENTRY_TTL;
        let found = self.inner.find_async(placed.key, limits).await;
        self.inner.count(&found);
        if let Ok(hit) = found {
            return Ok(hit.into_batches());
        }
        let plan = Plan {
            key,
            label: label.as_ref().into(),
            tables: Arc::default(),
            ttl: ttl_seconds,
            limits,
            is_shared: false,
            is_unchanged: None,
        };
        let plan = plan.at(placed);
        match self.inner.flight_role(&OnThreads, landed, &plan).await {
            FlightRole::Leader(leading) => {
                let inner = self.inner.clone();
                let lead = async move { inner.lead(&OnThreads, &plan, leading, compute).await };
                detached(&self.inner, lead).await
            }
            FlightRole::Hit(hit) => Ok(hit.into_batches()),
            FlightRole::Uncoalesced => self.inner.compute_alone(&OnThreads, &plan, compute).await,
        }
    }
}

impl Inner {
    /// Returns the stored result, or that of `compute`, which is
    /// dropped with its caller; the next caller then computes.
    pub(crate) async fn get_or_await<E>(
        self: &Arc<Self>,
        key: Key,
        limits: Limits,
        is_shareable: bool,
        plan: impl FnOnce() -> Plan,
        compute: impl Future<Output = Result<Vec<RecordBatch>, E>>,
    ) -> Result<Vec<RecordBatch>, E> {
        let placed = self.placed_async(key, is_shareable).await;
        let landed = self.flights.landed();
        let found = self.find_async(placed.key, limits).await;
        self.count(&found);
        match found {
            Ok(hit) => Ok(hit.into_batches()),
            Err(_) => {
                let plan = plan().at(placed);
                self.run_coalesced(OnThreads, landed, &plan, compute).await
            }
        }
    }

    /// Looks in memory on this thread, and in files on another.
    async fn find_async(self: &Arc<Self>, key: Key, limits: Limits) -> Result<Hit, Miss> {
        if !self.config.enabled {
            return Err(Miss::Disabled);
        }
        let miss = match self.find_in_memory(&key, limits) {
            Err(miss @ (Miss::Absent | Miss::Expired)) if self.disk.is_some() => miss,
            found => return found,
        };
        let inner = self.clone();
        let find = move || inner.find_in_file(&key, limits, miss);
        self.on_readers(find).await.unwrap_or(Err(Miss::Io))
    }

    /// Returns key and place of a result; the first read of the epoch is awaited on another thread.
    async fn placed_async(self: &Arc<Self>, key: Key, is_shareable: bool) -> Placed {
        if !self.shares_computed() {
            return self.placed_for(key, is_shareable);
        }
        let inner = self.clone();
        let placed = self.on_readers(move || inner.placed_for(key, is_shareable));
        placed.await.unwrap_or(Placed {
            key,
            is_shared: false,
            is_storable: false,
        })
    }

    async fn on_readers<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        self.readers.run(move || {
            let _ = sender.send(work());
        });
        receiver.await.ok()
    }

    async fn on_writers<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        self.workers.run(move || {
            let _ = sender.send(work());
        });
        receiver.await.ok()
    }
}

/// Reads and writes files on threads of the cache.
struct OnThreads;

impl Executor for OnThreads {
    const IS_TASK: bool = true;

    async fn find(&self, inner: &Arc<Inner>, plan: &Plan) -> Result<Hit, Miss> {
        inner.find_async(plan.key, plan.limits).await
    }

    async fn take_turn(&self, inner: &Arc<Inner>, plan: &Plan) -> Turn {
        let (waiting, key, limits) = (inner.clone(), plan.key, plan.limits);
        let turn = inner
            .on_writers(move || waiting.take_turn(&key, limits, || true, WaitingThread::Worker));
        turn.await.unwrap_or(Turn::Compute(None))
    }

    async fn join_shared(&self, inner: &Arc<Inner>, plan: &Plan) -> SharedTurn {
        if !plan.is_shared {
            return SharedTurn::Compute(Duty::default());
        }
        let (joining, plan) = (inner.clone(), plan.clone());
        let turn = inner.on_writers(move || joining.join_planned(&plan, WaitingThread::Worker));
        turn.await.unwrap_or(SharedTurn::Compute(Duty::default()))
    }

    async fn store(&self, inner: &Arc<Inner>, computed: Computed) -> Outcome {
        let storing = inner.clone();
        let stored = inner.on_writers(move || computed.store(&storing)).await;
        stored.unwrap_or(Outcome::NotStored)
    }
}

/// Runs a future as a task if there is a runtime, so that it continues if its
/// caller is dropped. It keeps its caller's context: see [`Cache::carry_context`].
async fn detached<T: Send + 'static>(
    inner: &Arc<Inner>,
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return work.await;
    };
    match runtime.spawn(Carried::new(inner, work)).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // the runtime is shutting down: the caller is not polled any more
            Err(_) => std::future::pending().await,
        },
    }
}
