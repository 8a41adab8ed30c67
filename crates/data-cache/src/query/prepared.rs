//! A question whose key is known: asked of files and of the engine, and its answer kept.

use std::time::{Duration, Instant, SystemTime};

use arrow::array::RecordBatch;

use super::{Answer, Query, QueryResult};
use crate::cache::{Hit, StoreRequest};
use crate::cancel::Cancel;
use crate::engine::{QueryEngine, State};
use crate::event::Status;
use crate::key::Key;
use crate::stats::{Bypass, Miss};

/// A query whose state is known.
pub(super) struct Prepared<E> {
    pub(super) query: Query<E>,
    pub(super) normal: String,
    pub(super) key: Key,
    pub(super) state: State,
    /// The operator permits to keep what may differ from one moment to the next.
    pub(super) is_permitted: bool,
    pub(super) start: SystemTime,
    pub(super) clock: Instant,
}

impl<E: QueryEngine> Prepared<E> {
    /// Asks the files, then the engine. `early` hands an answer out before it is written to a file.
    pub(super) fn lead(self, cancel: &Cancel, early: impl FnOnce(&QueryResult)) -> Answer {
        let inner = self.query.target.cache.inner().clone();
        let stamp = inner.stamp();
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
            .report_query(self.start, self.clock, &answer, Status::Miss);
        let Ok(result) = &answer else { return answer };
        if self.is_unchanged() {
            let request = StoreRequest {
                key: self.key,
                label: &self.normal,
                tables: self.state.tables.clone(),
                batches: &result.batches,
                ttl: self.query.ttl,
                compute,
                stamp,
                automatic: !self.query.is_kept && !self.is_permitted,
            };
            let kept = inner.store_with(&request, || early(result));
            if let Err(error) = kept {
                tracing::warn!(target: "data_cache", %error, "result_not_cached");
            }
        }
        answer
    }

    /// Nobody asked for a file when it was computed; now somebody does.
    pub(super) fn keep_later(self, batches: Vec<RecordBatch>) {
        let inner = self.query.target.cache.inner().clone();
        let stamp = inner.stamp();
        if !self.is_unchanged() {
            return;
        }
        inner.clone().run(move || {
            let request = StoreRequest {
                key: self.key,
                label: &self.normal,
                tables: self.state.tables.clone(),
                batches: &batches,
                ttl: self.query.ttl,
                compute: Duration::ZERO,
                stamp,
                automatic: false,
            };
            if let Err(error) = inner.store(&request) {
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

    pub(super) fn answer_with(&self, hit: Hit) -> QueryResult {
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
        let reported = Ok(answer.clone());
        self.query
            .report_query(self.start, self.clock, &reported, status);
        answer
    }
}
