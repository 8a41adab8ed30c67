//! A query whose key is known: looked up in files, run in the engine, and stored.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arrow::array::RecordBatch;
use parking_lot::Mutex;

use super::{Answer, Origin, Query, QueryId, QueryResult, WaitGuard, lost};
use crate::cache::{
    Awaited, Duty, GenerationStamp, Hit, SharedTurn, StoreRequest, Stored, Turn, WaitingThread,
};
use crate::engine::{QueryEngine, State};
use crate::etag::ContentDigest;
use crate::event::{Status, Tier};
use crate::flight::{Joined, Leader, Waiter};
use crate::key::{Key, KeyInputs};
use crate::stats::{Bypass, Miss};

/// A query whose state is known.
pub(super) struct Prepared<E> {
    pub(super) query: Query<E>,
    pub(super) normal: String,
    pub(super) key: Key,
    pub(super) state: State,
    /// The engine's change count, read before the state.
    pub(super) changes: u64,
    /// `true` if the operator permits storing a result that may differ from one moment to the next.
    pub(super) is_permitted: bool,
    /// Reason for the miss in memory.
    pub(super) missed: Miss,
    pub(super) start: SystemTime,
    pub(super) clock: Instant,
}

/// Wraps the waiter so that its lookup counts as a hit or a miss, according to the result.
fn counted(awaited: Awaited, waiter: Waiter<Answer>) -> Waiter<Answer> {
    Box::new(move |answer| {
        match &answer {
            Some(Ok(result)) => match result.origin {
                Origin::Kept {
                    tier, compute_ms, ..
                } => awaited.hit(tier, result.status == Status::Stale, compute_ms),
                Origin::Missed(miss) => awaited.miss(miss),
                Origin::Bypassed => drop(awaited),
            },
            Some(Err(_)) | None => drop(awaited),
        }
        waiter(answer);
    })
}

impl<E: QueryEngine> Prepared<E> {
    /// Joins the flight of this query, or starts it. `landed` must be read before the lookup in memory.
    pub(super) fn start(self: Box<Self>, landed: u64, waiter: Waiter<Answer>) -> WaitGuard {
        let inner = self.query.target.cache.inner().clone();
        let flights = self.query.target.flights.clone();
        let id = (
            self.key,
            inner.own_generation(),
            self.changes,
            self.query.limits(),
        );
        let joined = flights.join_as(id, false, Err(lost()), |waits| match waits {
            true => counted(inner.await_another(), waiter),
            false => waiter,
        });
        match joined {
            Joined::Leader(leader, ticket) => {
                let is_stale = flights.landed() != landed;
                inner.run_lookup(move || self.look_up(leader, is_stale));
                WaitGuard::Flight(ticket)
            }
            Joined::Waiter(ticket) => WaitGuard::Flight(ticket),
            Joined::Reentrant(waiter) => self.query.start_bypass(Bypass::Reentrant, waiter),
        }
    }

    /// Looks in the files, and again in memory if a flight landed since;
    /// then passes the query to a thread that may wait for the engine.
    fn look_up(self: Box<Self>, leader: Leader<QueryId, Answer>, is_stale: bool) {
        let inner = self.query.target.cache.inner().clone();
        let stamp = inner.stamp();
        let limits = self.query.limits();
        let found = match is_stale {
            true => inner.find_within(&self.key, limits),
            false => inner.find_on_disk(&self.key, limits),
        };
        match found {
            Ok(hit) => {
                let led = leader.led().clone();
                let is_overdue = hit.is_stale();
                leader.land(&Ok(led.enter(|| self.answer_with(hit))));
                if is_overdue {
                    self.revalidate();
                }
            }
            Err(miss) => {
                // evicted from memory, together with its files
                let miss = match miss {
                    Miss::Absent => self.missed,
                    miss => miss,
                };
                inner.run(move || {
                    let led = leader.led().clone();
                    led.enter(|| self.take_turn(&leader, miss, stamp));
                });
            }
        }
    }

    /// Recomputes in the background a result that was served stale, unless another machine did so.
    pub(super) fn revalidate(self: Box<Self>) {
        let inner = self.query.target.cache.inner().clone();
        let fresh = self.query.fresh();
        inner.revalidate(self.key, fresh.ttl, move |duty| {
            // the seat in the flight, dropped once the result has arrived
            let seat = Arc::new(Mutex::new(None));
            let taken = seat.clone();
            let waiter = Box::new(move |_| drop(taken.lock().take()));
            let inner = self.query.target.cache.inner().clone();
            let flights = self.query.target.flights.clone();
            let stamp = inner.stamp();
            let id = (self.key, inner.own_generation(), self.changes, fresh);
            if let Joined::Leader(leader, ticket) = flights.join(id, false, Err(lost()), waiter) {
                *seat.lock() = Some(ticket);
                let led = leader.led().clone();
                led.enter(|| match self.join_shared(stamp, &|| !inner.is_flushed()) {
                    SharedTurn::Found(hit, _) => leader.land(&Ok(self.answer_of(hit))),
                    SharedTurn::Compute(duty) => {
                        self.compute(&leader, Miss::Expired, duty);
                    }
                });
            }
            drop(duty);
        });
    }

    /// Waits for another process that computes the same result.
    fn take_turn(
        self: Box<Self>,
        leader: &Leader<QueryId, Answer>,
        miss: Miss,
        stamp: GenerationStamp,
    ) {
        let inner = self.query.target.cache.inner().clone();
        let is_wanted = || !leader.cancel().is_cancelled();
        match inner.take_turn(
            &self.key,
            self.query.fresh(),
            is_wanted,
            WaitingThread::Worker,
        ) {
            Turn::Hit(hit) => leader.land(&Ok(self.answer_with(hit))),
            Turn::Compute(lock) => {
                let is_in_file = match self.join_shared(stamp, &is_wanted) {
                    SharedTurn::Found(hit, is_in_file) => {
                        leader.land(&Ok(self.answer_with(hit)));
                        is_in_file
                    }
                    SharedTurn::Compute(duty) => {
                        inner.count(&Err(miss));
                        self.compute(leader, miss, duty)
                    }
                };
                if let (Some(lock), false) = (&lock, is_in_file) {
                    lock.give_up();
                }
            }
        }
    }

    /// Runs the query in the engine. The result is returned to waiters before it is written to a file; returns `true`
    /// if it was written. A lease is released once the result is in the bucket, or will not be.
    fn compute(self: Box<Self>, leader: &Leader<QueryId, Answer>, miss: Miss, duty: Duty) -> bool {
        let mut is_in_file = false;
        let inner = self.query.target.cache.inner().clone();
        // computation starts here: invalidations during the wait for others do not affect it
        let stamp = inner.stamp();
        let cancel = leader.cancel();
        let shared_key = self.shared_key();
        let (computing, begun) = (Instant::now(), inner.steady_seconds());
        let (ran, profile) = self.query.run(cancel);
        let compute = computing.elapsed();
        let status = if inner.config().enabled {
            Status::Miss
        } else {
            Status::Off
        };
        let answer = ran.map(|batches| QueryResult {
            batches,
            status,
            age: Duration::ZERO,
            origin: Origin::Missed(miss),
            digest: (!self.is_permitted).then(ContentDigest::default),
        });
        self.query.report_query(
            self.start,
            self.clock,
            Some(compute),
            &answer,
            status,
            profile,
        );
        if let Ok(result) = &answer
            && self.query.ttl != Some(0)
            && self.is_unchanged()
        {
            let digest = result.digest.clone().unwrap_or_default();
            let request = StoreRequest {
                begun: Some(begun),
                ..self.request(&result.batches, digest, compute, stamp)
            };
            match inner.store_with(&request, || leader.land(&answer)) {
                Ok(stored) => {
                    let on_disk = Tier::Disk;
                    is_in_file = matches!(stored, Stored::Kept { tier, .. } if tier == on_disk);
                }
                Err(error) => {
                    tracing::warn!(target: "data_cache", %error, "result_not_cached");
                }
            }
            // shared only if the content was the same before and after the run
            if let Some(shared_key) = shared_key
                && self.shared_key() == Some(shared_key)
            {
                inner.offer(shared_key, &request, duty);
            }
        }
        leader.land(&answer);
        is_in_file
    }

    /// Name of the result on all machines; `None` if it is not shared.
    fn shared_key(&self) -> Option<Key> {
        let inner = self.query.target.cache.inner();
        if self.is_permitted || !inner.shares() {
            return None;
        }
        let engine = &self.query.target.engine;
        let Some(content) = engine.content() else {
            inner.count_without_content();
            return None;
        };
        let inputs = KeyInputs {
            scope: &self.query.scope,
            database: &format!("shared/1 {} {content}", std::env::consts::ARCH),
            state: "",
            dialect: engine.dialect(),
            normal_sql: &self.normal,
        };
        Some(Key::of(&inputs, &self.query.params))
    }

    /// Looks the result up in the shared tier; a result found there is also stored here.
    fn join_shared(&self, stamp: GenerationStamp, is_wanted: &dyn Fn() -> bool) -> SharedTurn {
        let Some(shared_key) = self.shared_key() else {
            return SharedTurn::Compute(Duty::default());
        };
        let inner = self.query.target.cache.inner();
        let digest = ContentDigest::default();
        let request = self.request(&[], digest, Duration::ZERO, stamp);
        let limits = self.query.fresh();
        match inner.join_shared(
            shared_key,
            request,
            limits,
            is_wanted,
            WaitingThread::Worker,
        ) {
            // the content that was looked up is no longer the content of the engine
            SharedTurn::Found(..) if self.shared_key() != Some(shared_key) => {
                SharedTurn::Compute(Duty::default())
            }
            turn => turn,
        }
    }

    fn request<'a>(
        &'a self,
        batches: &'a [RecordBatch],
        digest: ContentDigest,
        compute: Duration,
        stamp: GenerationStamp,
    ) -> StoreRequest<'a> {
        StoreRequest {
            key: self.key,
            label: &self.normal,
            tables: self.state.tables.clone(),
            batches,
            ttl: self.query.ttl,
            compute,
            begun: None,
            stamp,
            digest,
            is_automatic: !self.query.is_kept && !self.is_permitted,
        }
    }

    /// Writes a result from memory to a file, since this query requests it and earlier ones did not.
    pub(super) fn keep_later(self, hit: Hit) {
        let inner = self.query.target.cache.inner().clone();
        let Some(stamp) = inner.stamp_of_hit(&self.key, &hit) else {
            return;
        };
        if !self.is_unchanged() {
            return;
        }
        inner.clone().run(move || {
            let compute = Duration::from_millis(hit.compute_ms());
            let request = self.request(hit.batches(), hit.digest(), compute, stamp);
            if let Err(error) = inner.keep_in_file(&request, &hit) {
                tracing::warn!(target: "data_cache", %error, "result_not_cached");
            }
        });
    }

    /// Returns `true` if nothing was written while the query ran.
    fn is_unchanged(&self) -> bool {
        if self.query.target.engine.changes() != self.changes {
            return false;
        }
        if self.is_permitted {
            let now = self.query.permitted(&self.normal, Bypass::Nondeterministic);
            return now.as_ref() == Some(&self.state);
        }
        let engine = &self.query.target.engine;
        engine.is_current(&self.normal, &self.state)
    }

    pub(super) fn answer_with(&self, hit: Hit) -> QueryResult {
        self.query.target.cache.inner().count_hit(&hit);
        self.answer_of(hit)
    }

    /// [`answer_with`](Self::answer_with) without counting a hit, for waiters, which count themselves.
    fn answer_of(&self, hit: Hit) -> QueryResult {
        let status = match hit.is_stale() {
            true => Status::Stale,
            false => Status::Hit(hit.tier()),
        };
        let origin = Origin::Kept {
            tier: hit.tier(),
            fresh_for: hit.fresh_for(),
            compute_ms: hit.compute_ms(),
        };
        let answer = QueryResult {
            status,
            age: hit.age(),
            origin,
            digest: (!self.is_permitted).then(|| hit.digest()),
            batches: hit.into_batches(),
        };
        let reported = Ok(answer.clone());
        self.query
            .report_query(self.start, self.clock, None, &reported, status, None);
        answer
    }
}
