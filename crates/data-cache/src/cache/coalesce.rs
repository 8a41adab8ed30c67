//! Computation of missing results, once for all concurrent callers: the loop of blocking and async callers.

use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use tokio::sync::oneshot;

use super::generations::GenerationStamp;
use super::hit::Hit;
use super::inner::{Inner, Outcome};
use super::look_up::Limits;
use super::shared::{Duty, Placed, SharedTurn};
use super::skip::Skip;
use super::store::{StoreRequest, Stored};
use super::turn::Turn;
use crate::config::MAX_SECONDS;
use crate::etag::ContentDigest;
use crate::flight::{FlightId, Joined, Leader, Ticket};
use crate::key::Key;
use crate::sql::shown_label;
use crate::stats::Miss;

/// Metadata of a result to be computed.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) key: Key,
    pub(crate) label: Arc<str>,
    pub(crate) tables: Arc<[String]>,
    pub(crate) ttl: Option<u64>,
    /// Maximum accepted age of a stored result.
    pub(crate) limits: Limits,
    /// `true` if other machines store it under the same key.
    pub(crate) is_shared: bool,
    /// Checks that the inputs named by the key are unchanged since it was made; `None` if they never change.
    pub(crate) is_unchanged: Option<IsUnchanged>,
}

pub(crate) type IsUnchanged = Arc<dyn Fn() -> bool + Send + Sync>;

impl Plan {
    /// Returns the plan with the key of its place.
    pub(super) fn at(self, placed: Placed) -> Self {
        Self {
            key: placed.key,
            is_shared: placed.is_shared,
            // without a place, it is computed once for all current callers and not stored
            ttl: match placed.is_storable {
                // capped, since an error could not be returned
                true => self.ttl.map(|ttl| ttl.min(MAX_SECONDS)),
                false => Some(0),
            },
            ..self
        }
    }
}

impl FlightId for Key {
    fn result(&self) -> impl Hash {
        *self
    }
}

/// Difference between blocking and async callers: the threads that read and write files.
pub(super) trait Executor {
    /// `true` if a computation needs its thread for other tasks too.
    const IS_TASK: bool;

    /// Looks in memory and files.
    async fn find(&self, inner: &Arc<Inner>, plan: &Plan) -> Result<Hit, Miss>;

    /// Waits for other processes that compute the key.
    async fn take_turn(&self, inner: &Arc<Inner>, plan: &Plan) -> Turn;

    /// Looks in the shared tier, and waits for another machine that computes the key.
    async fn join_shared(&self, inner: &Arc<Inner>, plan: &Plan) -> SharedTurn;

    async fn store(&self, inner: &Arc<Inner>, computed: Computed) -> Outcome;
}

/// A computed result.
pub(super) struct Computed {
    plan: Plan,
    batches: Vec<RecordBatch>,
    compute: Duration,
    begun: u64,
    stamp: GenerationStamp,
    /// Duty towards other machines that may wait for the result.
    duty: Duty,
}

impl Computed {
    pub(super) fn store(self, inner: &Inner) -> Outcome {
        if self.plan.is_unchanged.as_ref().is_some_and(|is| !is()) {
            return Outcome::NotStored;
        }
        let request = StoreRequest {
            key: self.plan.key,
            label: &self.plan.label,
            tables: self.plan.tables.to_vec(),
            batches: &self.batches,
            ttl: self.plan.ttl,
            compute: self.compute,
            begun: Some(self.begun),
            stamp: self.stamp,
            digest: ContentDigest::default(),
            is_automatic: false,
        };
        let stored = inner.store(&request);
        let is_newest = !matches!(stored, Ok(Stored::Skipped(Skip::Outdated)));
        if self.plan.is_shared && stored.is_ok() && is_newest {
            inner.offer(self.plan.key, &request, self.duty);
        }
        match stored {
            Ok(Stored::Kept { .. }) => Outcome::Stored,
            // a newer result is stored already
            Ok(Stored::Skipped(Skip::Outdated)) => Outcome::Stored,
            Ok(Stored::Skipped(_)) => Outcome::NotStored,
            Err(error) => {
                let label = shown_label(&self.plan.label);
                tracing::warn!(target: "data_cache", %error, %label, "result_not_cached");
                Outcome::NotStored
            }
        }
    }
}

/// Role of a caller whose first lookup missed.
pub(super) enum FlightRole {
    Hit(Hit),
    /// Computes independently of others: results of this query are not stored, so that waiting would never end.
    Uncoalesced,
    Leader(Leading),
}

/// Duty to compute. The ticket is the leader's own seat, so that the flight continues if no other caller waits.
pub(super) struct Leading {
    leader: Leader<Key, Outcome>,
    _ticket: Ticket<Key, Outcome>,
}

impl Inner {
    /// Returns key and place of a result that is stored for this machine only, or for all.
    pub(super) fn placed_for(&self, key: Key, is_shareable: bool) -> Placed {
        match is_shareable {
            true => self.placed(key),
            false => Placed {
                key,
                is_shared: false,
                is_storable: true,
            },
        }
    }

    /// Returns the result of a computation that one of all callers runs. Called
    /// after a lookup that missed; `landed` must be read before that lookup.
    pub(super) async fn run_coalesced<E>(
        self: &Arc<Self>,
        executor: impl Executor,
        landed: u64,
        plan: &Plan,
        compute: impl Future<Output = Result<Vec<RecordBatch>, E>>,
    ) -> Result<Vec<RecordBatch>, E> {
        match self.flight_role(&executor, landed, plan).await {
            FlightRole::Hit(hit) => Ok(hit.into_batches()),
            FlightRole::Uncoalesced => self.compute_alone(&executor, plan, compute).await,
            FlightRole::Leader(leading) => self.lead(&executor, plan, leading, compute).await,
        }
    }

    /// Waits for current computations until the result is there or it is this caller's turn.
    pub(super) async fn flight_role(
        self: &Arc<Self>,
        executor: &impl Executor,
        mut landed: u64,
        plan: &Plan,
    ) -> FlightRole {
        let mut is_counted = false;
        loop {
            match self.join_flight(executor, plan) {
                JoinedFlight::Leader(leading) => {
                    // the previous flight may have landed between the lookup and now
                    if self.flights.landed() != landed
                        && let Ok(hit) = executor.find(self, plan).await
                    {
                        leading.leader.land(&Outcome::Stored);
                        return FlightRole::Hit(hit);
                    }
                    return FlightRole::Leader(leading);
                }
                JoinedFlight::Waiter(_ticket, receiver) => {
                    if !std::mem::replace(&mut is_counted, true) {
                        self.counters.coalesced.fetch_add(1, Ordering::Relaxed);
                    }
                    match receiver.await {
                        Ok(Some(Outcome::Stored | Outcome::Failed)) | Err(_) => {}
                        Ok(Some(Outcome::NotStored) | None) => return FlightRole::Uncoalesced,
                    }
                }
                JoinedFlight::Reentrant => return FlightRole::Uncoalesced,
            }
            landed = self.flights.landed();
            if let Ok(hit) = executor.find(self, plan).await {
                return FlightRole::Hit(hit);
            }
        }
    }

    fn join_flight<F: Executor>(&self, _: &F, plan: &Plan) -> JoinedFlight {
        let (sender, receiver) = oneshot::channel();
        let waiter = Box::new(move |outcome| {
            let _ = sender.send(outcome);
        });
        let joined = self
            .flights
            .join(plan.key, F::IS_TASK, Outcome::Failed, waiter);
        match joined {
            Joined::Leader(leader, ticket) => JoinedFlight::Leader(Leading {
                leader,
                _ticket: ticket,
            }),
            Joined::Waiter(ticket) => JoinedFlight::Waiter(ticket, receiver),
            Joined::Reentrant(_) => JoinedFlight::Reentrant,
        }
    }

    pub(super) async fn lead<E>(
        self: &Arc<Self>,
        executor: &impl Executor,
        plan: &Plan,
        leading: Leading,
        compute: impl Future<Output = Result<Vec<RecordBatch>, E>>,
    ) -> Result<Vec<RecordBatch>, E> {
        let lock = match executor.take_turn(self, plan).await {
            Turn::Compute(lock) => lock,
            Turn::Hit(hit) => {
                leading.leader.land(&Outcome::Stored);
                return Ok(hit.into_batches());
            }
        };
        let duty = match executor.join_shared(self, plan).await {
            SharedTurn::Compute(duty) => duty,
            SharedTurn::Found(hit, is_in_file) => {
                if let (Some(lock), false) = (&lock, is_in_file) {
                    lock.give_up();
                }
                leading.leader.land(&Outcome::Stored);
                return Ok(hit.into_batches());
            }
        };
        let compute = leading.leader.led().scope(compute);
        let (batches, outcome) = self.compute(executor, plan, duty, compute).await?;
        if let (Some(lock), Outcome::NotStored) = (&lock, outcome) {
            lock.give_up();
        }
        leading.leader.land(&outcome);
        Ok(batches)
    }

    pub(super) async fn compute_alone<E>(
        self: &Arc<Self>,
        executor: &impl Executor,
        plan: &Plan,
        compute: impl Future<Output = Result<Vec<RecordBatch>, E>>,
    ) -> Result<Vec<RecordBatch>, E> {
        let (batches, _outcome) = self
            .compute(executor, plan, Duty::default(), compute)
            .await?;
        Ok(batches)
    }

    async fn compute<E>(
        self: &Arc<Self>,
        executor: &impl Executor,
        plan: &Plan,
        duty: Duty,
        compute: impl Future<Output = Result<Vec<RecordBatch>, E>>,
    ) -> Result<(Vec<RecordBatch>, Outcome), E> {
        let (stamp, clock) = (self.stamp(), Instant::now());
        let begun = self.time.steady_seconds();
        let batches = compute.await?;
        let computed = Computed {
            plan: plan.clone(),
            batches: batches.clone(),
            compute: clock.elapsed(),
            begun,
            stamp,
            duty,
        };
        let outcome = executor.store(self, computed).await;
        Ok((batches, outcome))
    }
}

enum JoinedFlight {
    Leader(Leading),
    Waiter(Ticket<Key, Outcome>, oneshot::Receiver<Option<Outcome>>),
    Reentrant,
}
