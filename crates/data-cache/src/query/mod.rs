//! Queries through a cache.

mod prepared;
mod result;

pub(crate) use result::Origin;
pub use result::QueryResult;

use std::future::{Future, IntoFuture};
use std::hash::Hash;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime};

use arrow::array::RecordBatch;
use parking_lot::Mutex;

use self::prepared::Prepared;
use crate::cache::{Cache, IsUnchanged, Limits};
use crate::cancel::Cancel;
use crate::config::MAX_SECONDS;
use crate::engine::{QueryEngine, State};
use crate::error::Error;
use crate::event::{QueryEvent, Status};
use crate::flight::{FlightId, Flights, Ticket, Waiter};
use crate::key::{Key, KeyInputs};
use crate::params::Params;
use crate::profile::{OperatorKind, Profile};
use crate::scope::Scope;
use crate::sql;
use crate::stats::{Bypass, Miss};

/// Maximum time that a caller waits for another caller's run.
const MAX_WAIT: Duration = Duration::from_secs(600);

type Answer = Result<QueryResult, Error>;
/// Key; invalidation count of this process and change count of the engine, so that a query after an invalidation or
/// change does not join an earlier run; maximum accepted age.
type QueryId = (Key, u64, u64, Limits);

impl FlightId for QueryId {
    fn result(&self) -> impl Hash {
        self.0
    }
}

/// An engine queried through a [`Cache`] where possible.
pub struct CachedEngine<E> {
    engine: Arc<E>,
    cache: Cache,
    flights: Flights<QueryId, Answer>,
}

impl<E> Clone for CachedEngine<E> {
    fn clone(&self) -> Self {
        Self {
            engine: self.engine.clone(),
            cache: self.cache.clone(),
            flights: self.flights.clone(),
        }
    }
}

impl<E: QueryEngine> CachedEngine<E> {
    /// Wraps `engine` with `cache`.
    pub fn new(engine: E, cache: Cache) -> Self {
        Self {
            engine: Arc::new(engine),
            flights: cache.inner().flights_of_queries(MAX_WAIT),
            cache,
        }
    }

    /// Creates a query. Concurrent equal queries with the same TTL run once.
    pub fn query(&self, sql: impl Into<String>, params: Params) -> Query<E> {
        Query {
            target: self.clone(),
            sql: sql.into(),
            params,
            ttl: None,
            stale_while: 0,
            is_kept: false,
            scope: self.cache.own_scope().clone(),
        }
    }

    /// Returns the cache.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Returns the engine.
    pub fn engine(&self) -> &E {
        &self.engine
    }

    /// Returns a function that checks if the engine's change count still equals `changes`.
    pub(crate) fn is_unchanged_since(&self, changes: u64) -> IsUnchanged {
        let engine = self.engine.clone();
        Arc::new(move || engine.changes() == changes)
    }
}

/// A query to be awaited, or run with [`Query::blocking`].
#[must_use = "a query does not run until it is awaited or `blocking()` is called"]
pub struct Query<E> {
    target: CachedEngine<E>,
    sql: String,
    params: Params,
    ttl: Option<u64>,
    /// Seconds after expiry for which a stale result is accepted.
    stale_while: u64,
    is_kept: bool,
    scope: Scope,
}

enum Route<E> {
    MemoryHit(QueryResult),
    Lookup(Box<Prepared<E>>),
    Bypass(Query<E>, Bypass),
}

impl<E: QueryEngine> Query<E> {
    /// Sets the maximum age of the result in whole seconds, rounded up, instead of the TTL in `cache.yaml`; implies
    /// [`keep`](Self::keep). A result that another query stored for longer is recomputed once it is older than this,
    /// and stored for as long as before. Zero accepts no stored result, stores none, and leaves those of other queries
    /// in place. Capped at ten years.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        let begun = u64::from(ttl.subsec_nanos() > 0);
        self.ttl = Some(ttl.as_secs().saturating_add(begun).min(MAX_SECONDS));
        self.keep()
    }

    /// Accepts a result that expired less than `limit` ago, in whole seconds, and recomputes it in the background, once
    /// for all callers: [`Status::Stale`]. A result that was invalidated, or whose data changed, is never returned.
    pub fn stale_while(mut self, limit: Duration) -> Self {
        self.stale_while = limit.as_secs();
        self
    }

    /// Always writes the result to a file. Otherwise a file is written only if
    /// computing took at least three times as long as reading it back would.
    pub fn keep(mut self) -> Self {
        self.is_kept = true;
        self
    }

    /// Sets the scope of the result, instead of the cache's scope.
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// Runs the query and waits for the result on this thread.
    ///
    /// # Errors
    ///
    /// Fails with the engine's error, and for statements that are not queries.
    pub fn blocking(self) -> Result<QueryResult, Error> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let started = self.start(move |answer| {
            let _ = sender.send(answer);
        })?;
        match started {
            Started::Answered(answer) => Ok(answer),
            Started::Waiting(_guard) => answered(receiver.recv().ok()),
        }
    }

    async fn answer(self) -> Answer {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let started = self.start(move |answer| {
            let _ = sender.send(answer);
        })?;
        match started {
            Started::Answered(answer) => Ok(answer),
            Started::Waiting(_guard) => answered(receiver.await.ok()),
        }
    }

    /// Returns a result from memory, or joins the flight of this query, or starts it. A statement that the engine does
    /// not know yet is classified on another thread.
    fn start(self, waiter: impl FnOnce(Option<Answer>) + Send + 'static) -> Result<Started, Error> {
        let engine = &self.target.engine;
        engine.check(&self.sql)?;
        let normal = sql::normalize(&self.sql, engine.dialect()).into_owned();
        let waiter: Waiter<Answer> = Box::new(waiter);
        if engine.knows(&normal) {
            return Ok(match self.route(normal, waiter) {
                Routed::Answered(answer, _) => Started::Answered(answer),
                Routed::Waiting(guard) => Started::Waiting(guard),
            });
        }
        let inner = self.target.cache.inner().clone();
        let pending = Arc::new(Pending::default());
        let held = pending.clone();
        inner.run_lookup(move || match self.route(normal, waiter) {
            Routed::Answered(answer, waiter) => waiter(Some(Ok(answer))),
            Routed::Waiting(guard) => held.hold(guard),
        });
        Ok(Started::Waiting(WaitGuard::Pending(pending)))
    }

    fn route(self, normal: String, waiter: Waiter<Answer>) -> Routed {
        let landed = self.target.flights.landed();
        match self.choose(normal) {
            Route::MemoryHit(answer) => Routed::Answered(answer, waiter),
            Route::Bypass(query, reason) => Routed::Waiting(query.start_bypass(reason, waiter)),
            Route::Lookup(prepared) => Routed::Waiting(prepared.start(landed, waiter)),
        }
    }

    fn start_bypass(self, reason: Bypass, waiter: Waiter<Answer>) -> WaitGuard {
        let inner = self.target.cache.inner().clone();
        inner.counters().bypass(reason);
        let cancel = Cancel::default();
        let guard = WaitGuard::Alone(cancel.clone());
        inner.run(move || waiter(Some(self.run_bypass(reason, &cancel))));
        guard
    }

    /// Classifies the statement and looks it up in memory, on the calling thread.
    fn choose(self, normal: String) -> Route<E> {
        let (start, clock) = (SystemTime::now(), Instant::now());
        let inner = self.target.cache.inner().clone();
        let changes = self.target.engine.changes();
        let state = match self.target.engine.state(&normal) {
            Err(Bypass::Unclassified) if self.ttl.is_some() => {
                self.target.engine.state_if_asked(&normal)
            }
            judged => judged,
        };
        let (state, is_permitted) = match state {
            Ok(state) => (state, false),
            Err(reason) => match self.permitted(&normal, reason) {
                Some(state) => (state, true),
                None => return Route::Bypass(self, reason),
            },
        };
        let inputs = KeyInputs {
            scope: &self.scope,
            database: &self.target.engine.identity(),
            state: &state.token,
            dialect: self.target.engine.dialect(),
            normal_sql: &normal,
        };
        let key = Key::of(&inputs, &self.params);
        let mut prepared = Prepared {
            query: self,
            normal,
            key,
            state,
            changes,
            is_permitted,
            missed: Miss::Absent,
            start,
            clock,
        };
        let limits = prepared.query.limits();
        match inner.find_in_memory(&key, limits) {
            Ok(hit) if hit.is_stale() => {
                let answer = prepared.answer_with(hit);
                Box::new(prepared).revalidate();
                Route::MemoryHit(answer)
            }
            Ok(hit) => {
                let is_owed = prepared.query.is_kept && !hit.is_on_disk() && inner.writes_files();
                let answer = prepared.answer_with(hit.clone());
                if is_owed {
                    prepared.keep_later(hit);
                }
                Route::MemoryHit(answer)
            }
            Err(miss) => {
                prepared.missed = miss;
                Route::Lookup(Box::new(prepared))
            }
        }
    }

    /// Maximum accepted age of a result.
    fn limits(&self) -> Limits {
        Limits {
            overdue: self.stale_while,
            ..self.fresh()
        }
    }

    /// Maximum accepted age of an unexpired result.
    fn fresh(&self) -> Limits {
        self.ttl.map_or(Limits::ENTRY_TTL, Limits::within)
    }

    /// Returns the state for a result that is stored only because the operator configured a TTL for it, in a pattern
    /// that spells out what makes it volatile. The date is part of its key, and every write makes it unreachable.
    fn permitted(&self, normal: &str, reason: Bypass) -> Option<State> {
        let may = matches!(
            reason,
            Bypass::Nondeterministic | Bypass::Outside | Bypass::Catalog
        );
        let inner = self.target.cache.inner();
        if !may || !inner.has_configured_ttl(normal) {
            return None;
        }
        let is_permitted = |name: &str| inner.permits(normal, name);
        let whole = self
            .target
            .engine
            .state_if_permitted(normal, &is_permitted)
            .ok()?;
        let day = inner.now() / self.target.engine.date_seconds().max(1);
        Some(State {
            token: format!("{} day {day}", whole.token),
            tables: whole.tables,
        })
    }

    fn run_bypass(self, reason: Bypass, cancel: &Cancel) -> Answer {
        let (start, clock) = (SystemTime::now(), Instant::now());
        let (ran, profile) = self.run(cancel);
        let answer = ran.map(|batches| QueryResult {
            batches,
            status: Status::Bypass(reason),
            age: Duration::ZERO,
            origin: Origin::Bypassed,
            digest: None,
        });
        let status = Status::Bypass(reason);
        self.report_query(
            start,
            clock,
            Some(clock.elapsed()),
            &answer,
            status,
            profile,
        );
        answer
    }

    /// Runs the query in the engine, with a profile if the run was slow.
    fn run(&self, cancel: &Cancel) -> (Result<Vec<RecordBatch>, Error>, Option<Profile>) {
        let engine = &self.target.engine;
        let ran = engine.run_profiled(&self.sql, &self.params, cancel, self.slow());
        match ran {
            Ok((batches, profile)) => (Ok(batches), profile),
            Err(error) => (Err(error), None),
        }
    }

    fn slow(&self) -> Duration {
        Duration::from_millis(self.target.cache.inner().config().slow_query_ms)
    }

    fn report_query(
        &self,
        start: SystemTime,
        clock: Instant,
        ran: Option<Duration>,
        answer: &Answer,
        status: Status,
        profile: Option<Profile>,
    ) {
        let duration = clock.elapsed();
        let event = QueryEvent {
            sql: sql::sanitize_as(&self.sql, self.target.engine.dialect()),
            system: self.target.engine.system(),
            query_type: sql::first_word(&self.sql),
            start,
            duration,
            ran,
            rows: answer.as_ref().map_or(0, |found| {
                found.batches.iter().map(RecordBatch::num_rows).sum()
            }),
            failed: answer.is_err(),
            status,
            profile,
        };
        if ran.is_some_and(|ran| ran > self.slow()) {
            log_slow(&event);
        }
        self.target.cache.inner().notify(&event);
    }
}

fn log_slow(event: &QueryEvent) {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let profile = event.profile.as_ref();
    let time_of = |kind| profile.map(|profile| millis(profile.time_of(kind)));
    tracing::warn!(
        target: "data_cache",
        sql = event.sql,
        duration_ms = millis(event.ran.unwrap_or(event.duration)),
        rows = event.rows,
        cache = event.status.as_str(),
        planning_ms = profile.map(|profile| millis(profile.planning)),
        scan_ms = time_of(OperatorKind::Scan),
        join_ms = time_of(OperatorKind::Join),
        aggregate_ms = time_of(OperatorKind::Aggregate),
        sort_ms = time_of(OperatorKind::Sort),
        spilled_bytes = profile.map(|profile| profile.spilled_bytes),
        operators = profile.map(tracing::field::display),
        "slow_query"
    );
}

enum Started {
    Answered(QueryResult),
    Waiting(WaitGuard),
}

/// [`Started`], with the waiter if it was not called.
enum Routed {
    Answered(QueryResult, Waiter<Answer>),
    Waiting(WaitGuard),
}

/// Guard of a query that is routed by another thread, once that thread returns it.
#[derive(Default)]
struct Pending(Mutex<PendingState>);

#[derive(Default)]
enum PendingState {
    #[default]
    Routing,
    Waiting(#[expect(dead_code, reason = "held for its drop")] WaitGuard),
    /// The caller no longer waits.
    Abandoned,
}

impl Pending {
    fn hold(&self, guard: WaitGuard) {
        let mut state = self.0.lock();
        if matches!(*state, PendingState::Routing) {
            *state = PendingState::Waiting(guard);
        }
    }

    fn abandon(&self) {
        let before = std::mem::replace(&mut *self.0.lock(), PendingState::Abandoned);
        drop(before);
    }
}

/// Held while a caller waits. Dropping it interrupts the engine unless other callers wait.
enum WaitGuard {
    Flight(#[expect(dead_code, reason = "held for its drop")] Ticket<QueryId, Answer>),
    Alone(Cancel),
    Pending(Arc<Pending>),
}

impl Drop for WaitGuard {
    fn drop(&mut self) {
        match self {
            Self::Alone(cancel) => cancel.cancel(),
            Self::Pending(pending) => pending.abandon(),
            Self::Flight(_) => {}
        }
    }
}

/// Returns the result, or an error if its run was lost or the wait timed out.
fn answered(received: Option<Option<Answer>>) -> Answer {
    match received {
        Some(Some(answer)) => answer,
        Some(None) => Err(Error::engine(format!(
            "another caller's run of this query did not finish within {} s",
            MAX_WAIT.as_secs()
        ))),
        None => Err(lost()),
    }
}

fn lost() -> Error {
    Error::engine("the computation panicked")
}

impl<E: QueryEngine> IntoFuture for Query<E> {
    type Output = Result<QueryResult, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.answer())
    }
}
