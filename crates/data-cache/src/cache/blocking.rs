//! The loop for blocking callers: files are read and written on the calling thread.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use arrow::array::RecordBatch;

use super::Cache;
use super::coalesce::{Computed, Executor, Plan};
use super::hit::Hit;
use super::inner::{Inner, Outcome};
use super::look_up::Limits;
use super::shared::SharedTurn;
use super::turn::{Turn, WaitingThread};
use crate::key::Key;
use crate::params::Params;
use crate::stats::Miss;

impl Cache {
    /// Returns the stored result, or that of `compute`, which is then stored for `ttl_seconds`, ten years at most. A
    /// result that is stored already keeps its own TTL.
    ///
    /// One of the callers that miss at the same time computes, on its own thread; the others wait for it. If it fails,
    /// the next one tries, so that each caller gets its own error. A computation that requests its own result computes
    /// once more, without the cache, and so does a caller that has waited for 60 s.
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
    /// Fails with the error of `compute`.
    pub fn get_or_compute<E>(
        &self,
        sql: &str,
        params: &Params,
        ttl_seconds: Option<u64>,
        compute: impl FnOnce() -> Result<Vec<RecordBatch>, E>,
    ) -> Result<Vec<RecordBatch>, E> {
        let (key, label) = self.key_and_label(sql, params);
        let plan = || Plan {
            key,
            label: label.as_ref().into(),
            tables: Arc::default(),
            ttl: ttl_seconds,
            limits: Limits::ENTRY_TTL,
            is_shared: false,
            is_unchanged: None,
        };
        self.inner
            .get_or_run(key, Limits::ENTRY_TTL, true, plan, compute)
    }
}

impl Inner {
    /// Returns the stored result, or that of `compute`. The plan has the key before placement.
    pub(crate) fn get_or_run<E>(
        self: &Arc<Self>,
        key: Key,
        limits: Limits,
        is_shareable: bool,
        plan: impl FnOnce() -> Plan,
        compute: impl FnOnce() -> Result<Vec<RecordBatch>, E>,
    ) -> Result<Vec<RecordBatch>, E> {
        let placed = self.placed_for(key, is_shareable);
        let landed = self.flights.landed();
        let found = self.find_within(&placed.key, limits);
        self.count(&found);
        match found {
            Ok(hit) => Ok(hit.into_batches()),
            Err(_) => {
                let plan = plan().at(placed);
                block_on(self.run_coalesced(OnThread, landed, &plan, async { compute() }))
            }
        }
    }
}

/// Reads and writes files on the calling thread.
struct OnThread;

impl Executor for OnThread {
    const IS_TASK: bool = false;

    async fn find(&self, inner: &Arc<Inner>, plan: &Plan) -> Result<Hit, Miss> {
        inner.find_within(&plan.key, plan.limits)
    }

    async fn take_turn(&self, inner: &Arc<Inner>, plan: &Plan) -> Turn {
        inner.take_turn(&plan.key, plan.limits, || true, WaitingThread::Caller)
    }

    async fn join_shared(&self, inner: &Arc<Inner>, plan: &Plan) -> SharedTurn {
        inner.join_planned(plan, WaitingThread::Caller)
    }

    async fn store(&self, inner: &Arc<Inner>, computed: Computed) -> Outcome {
        computed.store(inner)
    }
}

/// Polls on this thread, which parks while there is nothing to do. Works with and without a runtime.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
