//! Computing what is not there, once however many ask: the loop of blocking and of async callers.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use tokio::sync::oneshot;

use super::generations::GenerationStamp;
use super::hit::Hit;
use super::inner::{Inner, Outcome};
use super::store::{StoreRequest, Stored};
use super::turn::Turn;
use crate::etag::ContentDigest;
use crate::flight::{Joined, Leader, Ticket};
use crate::key::Key;
use crate::stats::Miss;

/// A result to be computed, for the cache's own book.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) key: Key,
    pub(crate) label: Arc<str>,
    pub(crate) tables: Arc<[String]>,
    pub(crate) ttl: Option<u64>,
}

/// The difference between callers that block and callers that await: the thread that reads and writes files.
pub(super) trait Face {
    /// `true` if a computation needs its thread for other tasks too.
    const IS_TASK: bool;

    /// Asks both tiers.
    async fn find(&self, inner: &Arc<Inner>, key: Key) -> Result<Hit, Miss>;

    /// Waits for other processes that compute the key.
    async fn take_turn(&self, inner: &Arc<Inner>, key: Key) -> Turn;

    async fn store(&self, inner: &Arc<Inner>, computed: Computed) -> Outcome;
}

/// A result that was computed.
pub(super) struct Computed {
    plan: Plan,
    batches: Vec<RecordBatch>,
    compute: Duration,
    stamp: GenerationStamp,
}

impl Computed {
    pub(super) fn store(self, inner: &Inner) -> Outcome {
        let stored = inner.store(&StoreRequest {
            key: self.plan.key,
            label: &self.plan.label,
            tables: self.plan.tables.to_vec(),
            batches: &self.batches,
            ttl: self.plan.ttl,
            compute: self.compute,
            stamp: self.stamp,
            digest: ContentDigest::default(),
            automatic: false,
        });
        match stored {
            Ok(Stored::Kept { .. }) => Outcome::Stored,
            Ok(Stored::Skipped(_)) => Outcome::NotStored,
            Err(error) => {
                let label = &*self.plan.label;
                tracing::warn!(target: "data_cache", %error, label, "result_not_cached");
                Outcome::NotStored
            }
        }
    }
}

/// Part of a caller whose first lookup missed.
pub(super) enum FlightRole {
    Hit(Hit),
    /// Computes beside others: results of this question are not stored, or waiting would have no end.
    Uncoalesced,
    Leader(Leading),
}

/// Duty to compute; the ticket is a seat of one's own, so that the flight goes on if nobody else waits.
pub(super) struct Leading {
    leader: Leader<Key, Outcome>,
    _ticket: Ticket<Key, Outcome>,
}

impl Inner {
    /// The result of a computation that one of all callers runs. Called after a lookup that missed; `landed` is of before
    /// that lookup.
    pub(super) async fn fly<E>(
        self: &Arc<Self>,
        face: impl Face,
        landed: u64,
        plan: &Plan,
        compute: impl Future<Output = Result<Vec<RecordBatch>, E>>,
    ) -> Result<Vec<RecordBatch>, E> {
        match self.flight_role(&face, landed, plan).await {
            FlightRole::Hit(hit) => Ok(hit.into_batches()),
            FlightRole::Uncoalesced => self.compute_alone(&face, plan, compute).await,
            FlightRole::Leader(leading) => self.lead(&face, plan, leading, compute).await,
        }
    }

    /// Waits for those who compute already, until the result is there or it is the caller's turn.
    pub(super) async fn flight_role(
        self: &Arc<Self>,
        face: &impl Face,
        mut landed: u64,
        plan: &Plan,
    ) -> FlightRole {
        loop {
            match self.board(face, plan) {
                Boarded::Leader(leading) => {
                    // the one before may have landed between the lookup and now
                    if self.flights.landed() != landed
                        && let Ok(hit) = face.find(self, plan.key).await
                    {
                        leading.leader.land(&Outcome::Stored);
                        return FlightRole::Hit(hit);
                    }
                    return FlightRole::Leader(leading);
                }
                Boarded::Waiter(_ticket, receiver) => {
                    self.counters.coalesced.fetch_add(1, Ordering::Relaxed);
                    match receiver.await {
                        Ok(Some(Outcome::Stored | Outcome::Failed)) | Err(_) => {}
                        Ok(Some(Outcome::NotStored) | None) => return FlightRole::Uncoalesced,
                    }
                }
                Boarded::Reentrant => return FlightRole::Uncoalesced,
            }
            landed = self.flights.landed();
            if let Ok(hit) = face.find(self, plan.key).await {
                return FlightRole::Hit(hit);
            }
        }
    }

    fn board<F: Face>(&self, _: &F, plan: &Plan) -> Boarded {
        let (sender, receiver) = oneshot::channel();
        let waiter = Box::new(move |outcome| {
            let _ = sender.send(outcome);
        });
        let joined = self
            .flights
            .join(plan.key, F::IS_TASK, Outcome::Failed, waiter);
        match joined {
            Joined::Leader(leader, ticket) => Boarded::Leader(Leading {
                leader,
                _ticket: ticket,
            }),
            Joined::Waiter(ticket) => Boarded::Waiter(ticket, receiver),
            Joined::Reentrant(_) => Boarded::Reentrant,
        }
    }

    pub(super) async fn lead<E>(
        self: &Arc<Self>,
        face: &impl Face,
        plan: &Plan,
        leading: Leading,
        compute: impl Future<Output = Result<Vec<RecordBatch>, E>>,
    ) -> Result<Vec<RecordBatch>, E> {
        let lock = match face.take_turn(self, plan.key).await {
            Turn::Compute(lock) => lock,
            Turn::Hit(hit) => {
                leading.leader.land(&Outcome::Stored);
                return Ok(hit.into_batches());
            }
        };
        let compute = leading.leader.led().scope(compute);
        let (batches, outcome) = self.compute(face, plan, compute).await?;
        if let (Some(lock), Outcome::NotStored) = (&lock, outcome) {
            lock.give_up();
        }
        leading.leader.land(&outcome);
        Ok(batches)
    }

    pub(super) async fn compute_alone<E>(
        self: &Arc<Self>,
        face: &impl Face,
        plan: &Plan,
        compute: impl Future<Output = Result<Vec<RecordBatch>, E>>,
    ) -> Result<Vec<RecordBatch>, E> {
        let (batches, _outcome) = self.compute(face, plan, compute).await?;
        Ok(batches)
    }

    async fn compute<E>(
        self: &Arc<Self>,
        face: &impl Face,
        plan: &Plan,
        compute: impl Future<Output = Result<Vec<RecordBatch>, E>>,
    ) -> Result<(Vec<RecordBatch>, Outcome), E> {
        let (stamp, clock) = (self.stamp(), Instant::now());
        let batches = compute.await?;
        let computed = Computed {
            plan: plan.clone(),
            batches: batches.clone(),
            compute: clock.elapsed(),
            stamp,
        };
        let outcome = face.store(self, computed).await;
        Ok((batches, outcome))
    }
}

enum Boarded {
    Leader(Leading),
    Waiter(Ticket<Key, Outcome>, oneshot::Receiver<Option<Outcome>>),
    Reentrant,
}
