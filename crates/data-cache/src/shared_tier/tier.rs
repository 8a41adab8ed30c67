//! The shared tier of one cache: state of the store, and calls to it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::breaker::{Breaker, PAUSE, Permit};
use super::config::SharedConfig;
use super::costs::Costs;
use super::epoch::{self, Epochs, Standing};
use super::frame::Seal;
use super::places::{Places, Replacement};
use super::s3::S3;
use super::stats::{Counters, SharedStats, count};
use super::store::{Failure, Operation, Store};
use super::ticks::Ticks;
use super::writes::Writes;
use crate::config::Codec;
use crate::error::Error;
use crate::key::Key;
use crate::pool::Pool;

pub(crate) struct SharedTier {
    pub(super) store: Box<dyn Store>,
    pub(super) seal: Seal,
    is_computed_shared: bool,
    pub(super) epochs: Arc<Epochs>,
    /// Results without a content id that are being written, each
    /// with its next replacement: of two, the later one stays.
    pub(super) replacing: Mutex<HashMap<Key, Option<Replacement>>>,
    pub(super) min_compute: Duration,
    pub(super) lease: Duration,
    /// Maximum time that a lookup waits for the store: 2 s.
    pub(super) patience: Duration,
    pub(super) codec: Codec,
    ticks: Ticks,
    breaker: Breaker,
    pub(super) writes: Writes,
    pub(super) counters: Counters,
    pub(super) costs: Costs,
    /// Threads that call the store.
    pub(super) reads: Pool,
    /// Threads that write results.
    pub(super) writers: Pool,
    /// Threads that renew leases while this machine computes.
    pub(super) leases: Pool,
    pub(super) places: Places,
}

/// The store was not called, or did not respond in time: it is not called for a while.
pub(super) struct Unavailable;

/// A call to the store, with a deadline for the response.
pub(super) struct PendingCall<T> {
    answer: mpsc::Receiver<Result<T, Failure>>,
    by: Instant,
    operation: Operation,
}

impl<T> PendingCall<T> {
    /// Waits up to `limit` for the response; `None` if it may still come.
    pub(super) fn response_within(
        &self,
        tier: &SharedTier,
        limit: Duration,
    ) -> Result<Option<T>, Unavailable> {
        let left = self.by.saturating_duration_since(Instant::now());
        let failure = match self.answer.recv_timeout(left.min(limit)) {
            Ok(Ok(answer)) => return Ok(Some(answer)),
            Ok(Err(failure)) => failure,
            Err(_) if left > limit => return Ok(None),
            Err(_) => Failure::late(),
        };
        tier.failed(&failure, self.operation);
        Err(Unavailable)
    }
}

impl SharedTier {
    pub(crate) fn open(config: &SharedConfig, codec: Codec) -> Result<Arc<Self>, Error> {
        config.check()?;
        let tier = Arc::new(Self {
            seal: config.seal()?,
            is_computed_shared: config.is_computed_shared,
            epochs: Arc::default(),
            replacing: Mutex::default(),
            store: Box::new(S3::new(config)?),
            min_compute: config.min_compute,
            lease: config.lease,
            patience: config.patience,
            codec,
            ticks: Ticks::default(),
            breaker: Breaker::default(),
            writes: Writes::default(),
            counters: Counters::default(),
            costs: Costs::default(),
            reads: Pool::default(),
            writers: Pool::default(),
            leases: Pool::default(),
            places: Places::default(),
        });
        tier.probe_writes();
        if tier.is_computed_shared {
            epoch::follow(&tier, config.poll);
        }
        Ok(tier)
    }

    /// Returns `true` if results without a content id are shared too.
    pub(crate) fn shares_computed(&self) -> bool {
        self.is_computed_shared
    }

    /// Makes shared results without a content id unreachable, on this machine from here on.
    ///
    /// A machine that may not write continues to use results of other machines; its own results stay local.
    pub(crate) fn require_invalidation(&self) {
        if !self.writes.are_denied() {
            self.epochs.require_invalidation();
        }
    }

    /// Returns the current use of results without a content id; waits for the first read of the epoch, at most 2 s.
    pub(crate) fn standing(&self) -> Standing {
        match self.is_computed_shared {
            true => self.epochs.standing(self.now(), self.patience),
            false => Standing::Local,
        }
    }

    pub(crate) fn stats(&self) -> SharedStats {
        SharedStats {
            is_open: self.breaker.is_open(),
            is_read_only: self.writes.are_stopped(),
            is_conditional: self.writes.are_conditional(),
            epoch: self.epochs.text(),
            ..self.counters.stats()
        }
    }

    /// Current time of the tier's clock.
    pub(super) fn now(&self) -> Instant {
        self.ticks.now()
    }

    #[cfg(feature = "testing")]
    pub(crate) fn skip(&self, time: Duration) {
        self.ticks.skip(time);
    }

    /// Counts a query whose result stays on this machine; the first one is logged.
    pub(crate) fn count_without_content(&self) {
        if count(&self.counters.without_content) == 0 {
            tracing::warn!(
                target: "data_cache",
                effect = "its results stay on this machine; to share them, open the database with open_snapshot",
                "engine_without_content_id"
            );
        }
    }

    /// Returns `true` if the store may be called; starts a probe if one is due.
    pub(super) fn may_call(self: &Arc<Self>) -> bool {
        match self.breaker.permit(self.now()) {
            Permit::Call => return true,
            Permit::Probe => self.probe(),
            Permit::Refused => {}
        }
        false
    }

    /// Calls the store, on another thread, so that the time limit holds whatever the store does.
    pub(super) fn call<T: Send + 'static>(
        self: &Arc<Self>,
        by: Instant,
        operation: Operation,
        work: impl FnOnce(&dyn Store) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let pending = self.start_call(by, operation, work, |_, _| {})?;
        let answer = pending.response_within(self, Duration::MAX)?;
        answer.ok_or(Unavailable)
    }

    /// Starts a call with a deadline. A response that is no longer waited for is passed to `unwanted`.
    pub(super) fn start_call<T: Send + 'static>(
        self: &Arc<Self>,
        by: Instant,
        operation: Operation,
        work: impl FnOnce(&dyn Store) -> Result<T, Failure> + Send + 'static,
        unwanted: impl FnOnce(&dyn Store, T) + Send + 'static,
    ) -> Result<PendingCall<T>, Unavailable> {
        if !self.may_call() {
            return Err(Unavailable);
        }
        let (sender, answer) = mpsc::sync_channel(1);
        let tier = self.clone();
        self.reads.run(move || {
            if let Err(mpsc::SendError(Ok(answer))) = sender.send(work(&*tier.store)) {
                unwanted(&*tier.store, answer);
            }
        });
        Ok(PendingCall {
            answer,
            by,
            operation,
        })
    }

    /// Records a failure of the store. A denied write stops writes; an object that cannot be transferred within its
    /// timeout stops nothing; any other failure stops all calls.
    pub(super) fn failed(&self, failure: &Failure, operation: Operation) {
        let now = self.now();
        if failure.is_too_large {
            tracing::warn!(
                target: "data_cache",
                operation = operation.name(),
                error = failure.text,
                "shared_object_too_large_for_its_time"
            );
            return;
        }
        if failure.is_denied {
            if self.writes.denied(now) {
                tracing::warn!(
                    target: "data_cache",
                    operation = operation.name(),
                    error = failure.text,
                    effect = "nothing is written and no lease is taken; results of other machines are used",
                    "shared_write_denied"
                );
            }
            return;
        }
        if operation.is_write() {
            self.writes.failed(now);
        }
        if self.breaker.failed(now, PAUSE) {
            tracing::warn!(
                target: "data_cache",
                operation = operation.name(),
                error = failure.text,
                effect = "the store is not used until a probe succeeds",
                "shared_store_failed"
            );
        }
    }

    /// Returns `true` if a result may be written now.
    pub(super) fn accepts_writes(self: &Arc<Self>) -> bool {
        !self.breaker.is_open() && self.may_write()
    }

    fn probe(self: &Arc<Self>) {
        let tier = self.clone();
        self.reads.run(move || {
            let is_answered = tier.store.probe().is_ok();
            tier.breaker.probed(is_answered, tier.now(), PAUSE);
            if is_answered {
                tracing::info!(target: "data_cache", "shared_store_answers_again");
            }
        });
    }

    /// Waits until no writes are pending; returns `false` on timeout.
    pub(super) fn wait_idle(&self, deadline: Instant) -> bool {
        self.writers.wait_idle(deadline) && self.leases.wait_idle(deadline)
    }
}
