//! Asking an engine through a cache.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime};

use arrow::array::RecordBatch;

use crate::cache::{Cache, Hit, Keep};
use crate::cancel::Cancel;
use crate::engine::{QueryEngine, State};
use crate::error::Error;
use crate::event::{QueryEvent, Status};
use crate::flight::{Flights, Ticket};
use crate::key::{Key, Question, hex};
use crate::params::Params;
use crate::scope::Scope;
use crate::sql;
use crate::stats::{Bypass, Miss};

const DAY_SECONDS: u64 = 86_400;

type Answer = Result<QueryResult, Error>;
/// The key, and the invalidations of this process: who asks after one does not get an answer from before.
type FlightId = (Key, u64);

/// An engine that is asked through a [`Cache`] where it may.
pub struct CachedEngine<E> {
    engine: Arc<E>,
    cache: Cache,
    flights: Flights<FlightId, Answer>,
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
    /// Asks `engine` through `cache`.
    pub fn new(engine: E, cache: Cache) -> Self {
        Self {
            engine: Arc::new(engine),
            cache,
            flights: Flights::default(),
        }
    }

    /// Asks; equal questions at the same time run once.
    pub fn query(&self, sql: impl Into<String>, params: Params) -> Query<E> {
        Query {
            target: self.clone(),
            sql: sql.into(),
            params,
            ttl: None,
            is_kept: false,
            scope: self.cache.own_scope().clone(),
        }
    }

    /// The cache in front.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The engine behind.
    pub fn engine(&self) -> &E {
        &self.engine
    }
}

/// The answer to a query.
#[derive(Clone, Debug)]
pub struct QueryResult {
    batches: Vec<RecordBatch>,
    status: Status,
    age: Duration,
    validator: Option<Key>,
}

impl QueryResult {
    /// The batches; at least one, which carries the schema.
    pub fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }

    /// The batches, by value.
    pub fn into_batches(self) -> Vec<RecordBatch> {
        self.batches
    }

    /// Where they came from.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Time since they were computed, in whole seconds: 0 unless they came from the cache.
    pub fn age(&self) -> Duration {
        self.age
    }

    /// A weak entity tag (RFC 9110 section 8.8.3) for this result in the given representation, known before a body is
    /// built. It stays the same until the data changes, over restarts too. `None` where the result is not cacheable.
    ///
    /// `representation` names whatever else the body depends on, such as `json/2`.
    pub fn etag(&self, representation: &str) -> Option<String> {
        use sha2::{Digest, Sha256};
        let mut digest = Sha256::new_with_prefix(self.validator?.as_bytes());
        digest.update(representation);
        let digest = digest.finalize();
        Some(format!("W/\"{}\"", hex(&digest[..16])))
    }
}

/// A query to be awaited, or run with [`Query::blocking`].
#[must_use = "a query runs when awaited, or by `blocking()`"]
pub struct Query<E> {
    target: CachedEngine<E>,
    sql: String,
    params: Params,
    ttl: Option<u64>,
    is_kept: bool,
    scope: Scope,
}

/// A query whose state is known.
struct Prepared<E> {
    query: Query<E>,
    normal: String,
    key: Key,
    state: State,
    /// The operator permits to keep what may differ from one moment to the next.
    is_permitted: bool,
    start: SystemTime,
    clock: Instant,
}

enum Way<E> {
    Answered(QueryResult),
    Ask(Box<Prepared<E>>),
    Past(Query<E>, Bypass),
}

impl<E: QueryEngine> Query<E> {
    /// How long the result may be reused, in whole seconds, instead of what `cache.yaml` says; implies
    /// [`keep`](Self::keep).
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl.as_secs());
        self.keep()
    }

    /// The result is always written to a file. Otherwise it is where computing it took at least three times as long as
    /// reading it back would.
    pub fn keep(mut self) -> Self {
        self.is_kept = true;
        self
    }

    /// Whose result it is, unless the cache has a scope already.
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// Waits for the answer on this thread.
    ///
    /// # Errors
    ///
    /// What the engine says, and statements that are no queries.
    pub fn blocking(self) -> Result<QueryResult, Error> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let started = self.start(move |answer| {
            let _ = sender.send(answer);
        })?;
        match started {
            Started::Answered(answer) => Ok(answer),
            Started::Waiting(_seat) => receiver.recv().unwrap_or_else(|_| Err(lost())),
        }
    }

    async fn answer(self) -> Answer {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let started = self.start(move |answer| {
            let _ = sender.send(answer);
        })?;
        match started {
            Started::Answered(answer) => Ok(answer),
            Started::Waiting(_seat) => receiver.await.unwrap_or_else(|_| Err(lost())),
        }
    }

    /// Answers from memory, or joins the flight of this question, or starts it.
    fn start(self, waiter: impl FnOnce(Answer) + Send + 'static) -> Result<Started, Error> {
        self.target.engine.check(&self.sql)?;
        let cache = self.target.cache.clone();
        match self.choose() {
            Way::Answered(answer) => Ok(Started::Answered(answer)),
            Way::Past(query, reason) => {
                cache.inner().counters().bypass(reason);
                let cancel = Cancel::default();
                let seat = Seat::Alone(cancel.clone());
                let work = move || waiter(query.run_past(reason, &cancel));
                cache.inner().run(work);
                Ok(Started::Waiting(seat))
            }
            Way::Ask(prepared) => {
                let id = (prepared.key, cache.inner().own_generation());
                let flights = prepared.query.target.flights.clone();
                let (ticket, first) = flights.join(id, waiter);
                match first {
                    Some(cancel) => {
                        let work = move || {
                            let answer = prepared.lead(&cancel, |answer| {
                                flights.land(&id, &cancel, &Ok(answer.clone()));
                            });
                            flights.land(&id, &cancel, &answer);
                        };
                        cache.inner().run(work);
                    }
                    None => cache.inner().count_coalesced(),
                }
                Ok(Started::Waiting(Seat::Flight(ticket)))
            }
        }
    }

    /// Memory is asked here and now.
    fn choose(self) -> Way<E> {
        let (start, clock) = (SystemTime::now(), Instant::now());
        let normal = sql::normalize(&self.sql).into_owned();
        let inner = self.target.cache.inner().clone();
        let (state, is_permitted) = match self.target.engine.state(&normal) {
            Ok(state) => (state, false),
            Err(reason) => match self.permitted(&normal, reason) {
                Some(state) => (state, true),
                None => return Way::Past(self, reason),
            },
        };
        let question = Question {
            scope: &self.scope,
            database: &self.target.engine.identity(),
            state: &state.token,
            normal_sql: &normal,
        };
        let key = Key::of(&question, &self.params);
        let prepared = Prepared {
            query: self,
            normal,
            key,
            state,
            is_permitted,
            start,
            clock,
        };
        match inner.find_in_memory(&key) {
            Ok(hit) => {
                let is_owed = prepared.query.is_kept && !hit.is_on_disk();
                let answer = prepared.answer_with(hit);
                if is_owed {
                    prepared.keep_later(answer.batches.clone());
                }
                Way::Answered(answer)
            }
            Err(_) => Way::Ask(Box::new(prepared)),
        }
    }

    /// The operator wrote down a time for what would not be kept: the date is in its key, and it goes past every write.
    fn permitted(&self, normal: &str, reason: Bypass) -> Option<State> {
        let may = matches!(
            reason,
            Bypass::Nondeterministic | Bypass::Outside | Bypass::Catalogue
        );
        let inner = self.target.cache.inner();
        if !may || !inner.permits(normal) {
            return None;
        }
        let whole = self.target.engine.state("").ok()?;
        let day = inner.now() / DAY_SECONDS;
        Some(State {
            token: format!("{} day {day}", whole.token),
            tables: Vec::new(),
        })
    }

    fn run_past(self, reason: Bypass, cancel: &Cancel) -> Answer {
        let (start, clock) = (SystemTime::now(), Instant::now());
        let ran = self.target.engine.run(&self.sql, &self.params, cancel);
        let answer = ran.map(|batches| QueryResult {
            batches,
            status: Status::Bypass(reason),
            age: Duration::ZERO,
            validator: None,
        });
        self.tell(start, clock, &answer, Status::Bypass(reason));
        answer
    }

    fn tell(&self, start: SystemTime, clock: Instant, answer: &Answer, status: Status) {
        let duration = clock.elapsed();
        let event = QueryEvent {
            sql: sql::sanitize(&self.sql),
            query_type: sql::first_word(&self.sql),
            start,
            duration,
            rows: answer.as_ref().map_or(0, |found| {
                found.batches.iter().map(RecordBatch::num_rows).sum()
            }),
            failed: answer.is_err(),
            status,
        };
        let limit = self.target.cache.inner().config().slow_query_ms;
        if duration > Duration::from_millis(limit) {
            let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(target: "data_cache", sql = event.sql, duration_ms, rows = event.rows, cache = status.as_str(), "slow_query");
        }
        self.target.cache.emit(&event);
    }
}

impl<E: QueryEngine> Prepared<E> {
    /// Asks the files, then the engine. `early` hands an answer out before it is written to a file.
    fn lead(self, cancel: &Cancel, early: impl FnOnce(&QueryResult)) -> Answer {
        let inner = self.query.target.cache.inner().clone();
        let snapshot = inner.snapshot();
        match inner.find(&self.key) {
            Ok(hit) => return Ok(self.answer_with(hit)),
            Err(miss) => inner.count(&Err(miss)),
        }
        let computing = Instant::now();
        let ran = self
            .query
            .target
            .engine
            .run(&self.query.sql, &self.query.params, cancel);
        let compute = computing.elapsed();
        let answer = ran.map(|batches| QueryResult {
            batches,
            status: Status::Miss,
            age: Duration::ZERO,
            validator: (!self.is_permitted).then_some(self.key),
        });
        self.query
            .tell(self.start, self.clock, &answer, Status::Miss);
        let Ok(result) = &answer else { return answer };
        if self.is_unchanged() {
            let keep = Keep {
                key: self.key,
                label: &self.normal,
                tables: self.state.tables.clone(),
                batches: &result.batches,
                ttl: self.query.ttl,
                compute,
                snapshot,
                automatic: !self.query.is_kept && !self.is_permitted,
            };
            let kept = inner.keep_then(&keep, || early(result));
            if let Err(error) = kept {
                tracing::warn!(target: "data_cache", %error, "result_not_cached");
            }
        }
        answer
    }

    /// Nobody asked for a file when it was computed; now somebody does.
    fn keep_later(self, batches: Vec<RecordBatch>) {
        let inner = self.query.target.cache.inner().clone();
        let snapshot = inner.snapshot();
        if !self.is_unchanged() {
            return;
        }
        inner.clone().pool().run(move || {
            let keep = Keep {
                key: self.key,
                label: &self.normal,
                tables: self.state.tables.clone(),
                batches: &batches,
                ttl: self.query.ttl,
                compute: Duration::ZERO,
                snapshot,
                automatic: false,
            };
            if let Err(error) = inner.keep(&keep) {
                tracing::warn!(target: "data_cache", %error, "result_not_cached");
            }
        });
    }

    /// Whether nobody wrote while the query ran.
    fn is_unchanged(&self) -> bool {
        let engine = &self.query.target.engine;
        let now = if self.is_permitted {
            self.query.permitted(&self.normal, Bypass::Nondeterministic)
        } else {
            engine.state(&self.normal).ok()
        };
        now.as_ref() == Some(&self.state)
    }

    fn answer_with(&self, hit: Hit) -> QueryResult {
        self.query
            .target
            .cache
            .inner()
            .count(&Ok::<_, Miss>(hit.clone()));
        let status = Status::Hit(hit.tier());
        let answer = QueryResult {
            status,
            age: hit.age(),
            validator: (!self.is_permitted).then_some(self.key),
            batches: hit.into_batches(),
        };
        let told = Ok(answer.clone());
        self.query.tell(self.start, self.clock, &told, status);
        answer
    }
}

enum Started {
    Answered(QueryResult),
    Waiting(Seat),
}

/// Held while one waits. Dropped, the engine is interrupted where nobody else waits.
enum Seat {
    Flight(#[expect(dead_code, reason = "held for its drop")] Ticket<FlightId, Answer>),
    Alone(Cancel),
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Self::Alone(cancel) = self {
            cancel.cancel();
        }
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
