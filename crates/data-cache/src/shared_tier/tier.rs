//! Lookups with a limit, and writes in the background.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use bytes::Bytes;
use parking_lot::Mutex;

use super::breaker::{Breaker, Permit};
use super::conditional;
use super::config::SharedConfig;
use super::costs::Costs;
use super::epoch::{self, Epochs, Standing};
use super::frame::{Head, Seal};
use super::lease::{Applicant, Lease, Turn};
use super::s3::S3;
use super::stats::{Counters, SharedStats, count};
use super::store::{Failure, MAX_OBJECT_BYTES, Store};
use crate::config::Codec;
use crate::disk::{decode, encode};
use crate::error::Error;
use crate::key::Key;
use crate::memory::retained_bytes;
use crate::pool::Pool;

/// A lookup waits no longer for the store.
pub(super) const READ_LIMIT: Duration = Duration::from_secs(2);
/// A lookup waits no longer for another machine that computes; then it computes too.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// Writes that wait or run; more are dropped.
const MAX_WRITES: usize = 16;
/// Bytes of the results that wait or are written; more are dropped.
const MAX_WRITE_BYTES: u64 = 64 << 20;

pub(crate) struct SharedTier {
    pub(super) store: Box<dyn Store>,
    pub(super) seal: Seal,
    is_computed_shared: bool,
    pub(super) epochs: Arc<Epochs>,
    /// Results without a content id that are written, and what replaces them then: of two, the later one stays.
    replacing: Mutex<HashMap<Key, Option<Replacement>>>,
    min_compute: Duration,
    pub(super) lease: Duration,
    codec: Codec,
    breaker: Breaker,
    counters: Counters,
    costs: Costs,
    /// Answer of the store to the question whether it heeds conditions of writes, once it was asked.
    is_conditional: Mutex<Option<bool>>,
    reads: Pool,
    writes: Pool,
    /// Threads that keep leases while this machine computes.
    pub(super) leases: Pool,
    waiting: AtomicUsize,
    waiting_bytes: AtomicU64,
}

/// A result that another machine computed, or that others may want.
pub(crate) struct Offer {
    pub(crate) batches: Vec<RecordBatch>,
    /// Seconds since 1970.
    pub(crate) created_at: u64,
    pub(crate) ttl_seconds: u64,
    pub(crate) compute: Duration,
}

/// A lookup, as [`SharedTier::join`] takes it.
pub(crate) struct Question<'a> {
    pub(crate) key: &'a Key,
    /// The statement without its literals, or the function.
    pub(crate) kind: &'a str,
    /// Says of a creation time and a lifetime if the result is taken.
    pub(crate) is_fresh: &'a dyn Fn(u64, u64) -> bool,
    /// Somebody waits for the answer.
    pub(crate) is_wanted: &'a dyn Fn() -> bool,
}

/// End of a lookup.
pub(crate) enum Joined {
    Found(Offer),
    /// It is to be computed; with a lease, other machines wait for the result until that is dropped.
    Compute(Option<Lease>),
}

/// One lookup may look twice, and is counted once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    First,
    /// Another machine may have written it since.
    Again,
}

/// The store was not asked, or did not answer: it is not asked for a while.
pub(super) struct Unanswered;

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
            codec,
            breaker: Breaker::default(),
            counters: Counters::default(),
            costs: Costs::default(),
            is_conditional: Mutex::default(),
            reads: Pool::default(),
            writes: Pool::default(),
            leases: Pool::default(),
            waiting: AtomicUsize::new(0),
            waiting_bytes: AtomicU64::new(0),
        });
        if tier.is_computed_shared {
            epoch::follow(&tier, config.poll);
        }
        Ok(tier)
    }

    /// Returns `true` if results without a content id are shared too.
    pub(crate) fn shares_computed(&self) -> bool {
        self.is_computed_shared
    }

    /// Puts shared results without a content id out of reach, on this machine from here on.
    pub(crate) fn disown(&self) {
        self.epochs.owe();
    }

    /// Use of results without a content id; waits for the first look at the epoch, at most 2 s.
    pub(crate) fn standing(&self) -> Standing {
        match self.is_computed_shared {
            true => self.epochs.standing(),
            false => Standing::Local,
        }
    }

    pub(crate) fn stats(&self) -> SharedStats {
        // being asked takes time, and nothing is known meanwhile
        let is_conditional = self.is_conditional.try_lock().and_then(|known| *known);
        SharedStats {
            epoch: self.epochs.text(),
            ..self.counters.stats(self.breaker.is_open(), is_conditional)
        }
    }

    /// Counts a query whose result stays on this machine; the first one is logged.
    pub(crate) fn without_content(&self) {
        if count(&self.counters.without_content) == 0 {
            tracing::warn!(
                target: "data_cache",
                effect = "its results stay on this machine; accepted is a database opened with open_snapshot",
                "engine_without_content_id"
            );
        }
    }

    /// Looks a result up. Where another machine computes it, waits for that one, for at most 30 s. The store itself is waited
    /// for 2 s. Blocks.
    pub(crate) fn join(self: &Arc<Self>, question: &Question<'_>) -> Joined {
        let cost = self.costs.of(question.kind);
        if cost.is_some_and(|cost| cost < self.min_compute) {
            count(&self.counters.quick);
            return Joined::Compute(None);
        }
        if !self.may_ask() {
            count(&self.counters.skipped);
            return Joined::Compute(None);
        }
        let joined = self.find_or_lease(question);
        match &joined {
            Joined::Found(offer) => {
                self.costs.learn(question.kind, offer.compute);
                count(&self.counters.hits)
            }
            Joined::Compute(_) => count(&self.counters.misses),
        };
        joined
    }

    /// Looks a result up that nobody is to compute.
    pub(crate) fn look_up(self: &Arc<Self>, question: &Question<'_>) -> Option<Offer> {
        if !self.may_ask() {
            count(&self.counters.skipped);
            return None;
        }
        let by = Instant::now() + READ_LIMIT;
        let found = self
            .find(question, by, Look::First)
            .unwrap_or_else(|Unanswered| None);
        match found {
            Some(_) => count(&self.counters.hits),
            None => count(&self.counters.misses),
        };
        found
    }

    fn find_or_lease(self: &Arc<Self>, question: &Question<'_>) -> Joined {
        let start = Instant::now();
        let (deadline, answered_by) = (start + MAX_WAIT, start + READ_LIMIT);
        match self.find(question, answered_by, Look::First) {
            Ok(Some(offer)) => return Joined::Found(offer),
            Ok(None) if self.is_conditional(answered_by) == Some(true) => {}
            _ => return Joined::Compute(None),
        }
        let mut applicant = Applicant::new(self, question.key, answered_by);
        loop {
            let (lease, by) = match applicant.apply(deadline, question.is_wanted) {
                // it may have been computed since it was looked for
                Turn::Mine(lease) => (Some(lease), applicant.answered_by()),
                Turn::Released => (None, applicant.answered_by()),
                Turn::Alone => return Joined::Compute(None),
            };
            match self.find(question, by, Look::Again) {
                Ok(Some(offer)) => return Joined::Found(offer),
                Ok(None) if lease.is_none() => {}
                _ => return Joined::Compute(lease),
            }
        }
    }

    /// Says if the store refuses writes whose condition does not hold; `None` if it does not answer. It is asked once; who
    /// wants to know meanwhile waits.
    pub(super) fn is_conditional(self: &Arc<Self>, by: Instant) -> Option<bool> {
        let mut known = self.is_conditional.lock();
        if known.is_some() {
            return *known;
        }
        let found = self.call(by, "probe", conditional::are_heeded).ok()?;
        if !found {
            tracing::warn!(
                target: "data_cache",
                effect = "it gives no leases, and results without a content id are not shared; accepted is one that heeds \
                          If-None-Match and If-Match of writes",
                "shared_store_without_conditional_writes"
            );
        }
        *known = Some(found);
        *known
    }

    /// Returns `true` if the store answered of late; has it probed if that is due.
    fn may_ask(self: &Arc<Self>) -> bool {
        match self.breaker.permit(Instant::now()) {
            Permit::Ask => return true,
            Permit::Probe => self.probe(),
            Permit::Refused => {}
        }
        false
    }

    /// Asks the store. The thread that waits for it is another one, so that the limit holds whatever it does.
    pub(super) fn call<T: Send + 'static>(
        self: &Arc<Self>,
        by: Instant,
        operation: &'static str,
        work: impl FnOnce(&dyn Store) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Unanswered> {
        if !self.may_ask() {
            return Err(Unanswered);
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        let tier = self.clone();
        self.reads.run(move || {
            let _ = sender.send(work(&*tier.store));
        });
        let limit = by.saturating_duration_since(Instant::now());
        let failure = match receiver.recv_timeout(limit) {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(failure)) => failure,
            Err(_) => Failure("no answer within 2 s".to_owned()),
        };
        self.failed(&failure, operation);
        Err(Unanswered)
    }

    fn find(
        self: &Arc<Self>,
        question: &Question<'_>,
        by: Instant,
        look: Look,
    ) -> Result<Option<Offer>, Unanswered> {
        let key = *question.key;
        let found = self.call(by, "get", move |store| store.get(&key));
        let found = found.inspect_err(|Unanswered| {
            count(&self.counters.failed);
        })?;
        Ok(found.and_then(|object| self.read(question, &object, look)))
    }

    /// Removes a lease. Others wait for it, so that a store that failed a moment ago is asked too.
    pub(super) fn release(&self, name: &str) {
        if let Err(failure) = self.store.remove(name) {
            self.failed(&failure, "lease");
        }
    }

    pub(super) fn count_waited(&self) {
        count(&self.counters.waited);
    }

    pub(super) fn count_lease(&self) {
        count(&self.counters.leases);
    }

    pub(super) fn lease_is_lost(&self, name: &str) {
        count(&self.counters.leases_lost);
        tracing::debug!(target: "data_cache", name, effect = "another machine computes it too", "shared_lease_lost");
    }

    fn read(&self, question: &Question<'_>, object: &Bytes, look: Look) -> Option<Offer> {
        let key = question.key;
        let Some((head, payload)) = self.seal.open(key, object) else {
            return self.refuse(key, "its seal is not ours", look);
        };
        if !(question.is_fresh)(head.created_at, head.ttl_seconds) {
            if look == Look::First {
                count(&self.counters.expired);
            }
            return None;
        }
        match decode(head.codec, payload, head.rows) {
            Ok(batches) => Some(Offer {
                batches,
                created_at: head.created_at,
                ttl_seconds: head.ttl_seconds,
                compute: Duration::from_millis(head.compute_ms),
            }),
            Err(error) => self.refuse(key, &error, look),
        }
    }

    fn refuse(&self, key: &Key, reason: &str, look: Look) -> Option<Offer> {
        if look == Look::First {
            count(&self.counters.refused);
            tracing::warn!(target: "data_cache", %key, reason, "shared_object_refused");
        }
        None
    }

    /// Writes a result in the background, if it is worth it and not too much waits. The lease is let go of after that.
    pub(crate) fn offer(
        self: &Arc<Self>,
        key: Key,
        kind: &str,
        offer: Offer,
        lease: Option<Lease>,
    ) {
        self.costs.learn(kind, offer.compute);
        if offer.compute < self.min_compute {
            return;
        }
        let bytes = retained_bytes(&offer.batches);
        if self.breaker.is_open() || !self.take_place(bytes) {
            count(&self.counters.dropped);
            return;
        }
        let place = Place {
            tier: self.clone(),
            bytes,
        };
        self.writes.run(move || {
            place.tier.write(&key, &offer);
            drop(lease);
        });
    }

    /// Writes a result without a content id in the background, in place of the one that was there. If it cannot be written,
    /// the older one must not be found any more.
    pub(crate) fn replace(self: &Arc<Self>, key: Key, offer: Offer) {
        let bytes = retained_bytes(&offer.batches);
        if self.breaker.is_open() || !self.take_place(bytes) {
            count(&self.counters.dropped);
            return self.epochs.owe();
        }
        let tier = self.clone();
        let replacement = Replacement {
            offer,
            _place: Place { tier, bytes },
        };
        let mut replacing = self.replacing.lock();
        if let Some(next) = replacing.get_mut(&key) {
            // one that waited is dropped, after the lock
            let _late = next.replace(replacement);
            drop(replacing);
            return;
        }
        replacing.insert(key, None);
        drop(replacing);
        let tier = self.clone();
        self.writes
            .run(move || tier.write_in_turn(key, replacement));
    }

    fn write_in_turn(&self, key: Key, first: Replacement) {
        let mut next = Some(first);
        // at most as many as there are places
        while let Some(replacement) = next {
            if !self.write(&key, &replacement.offer) {
                self.epochs.owe();
            }
            let mut replacing = self.replacing.lock();
            next = replacing.get_mut(&key).and_then(Option::take);
            if next.is_none() {
                replacing.remove(&key);
            }
        }
    }

    fn take_place(&self, bytes: u64) -> bool {
        let writes = self.waiting.fetch_add(1, Ordering::Relaxed) + 1;
        let total = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let fits = writes <= MAX_WRITES && total <= MAX_WRITE_BYTES;
        if !fits {
            self.leave_place(bytes);
        }
        fits
    }

    fn leave_place(&self, bytes: u64) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Returns `true` if it is written.
    fn write(&self, key: &Key, offer: &Offer) -> bool {
        let Some(object) = self.object(key, offer) else {
            count(&self.counters.unfit);
            return false;
        };
        match self.store.put(key, object) {
            Ok(()) => {
                count(&self.counters.written);
                true
            }
            Err(failure) => {
                count(&self.counters.write_failed);
                self.failed(&failure, "put");
                false
            }
        }
    }

    fn object(&self, key: &Key, offer: &Offer) -> Option<Bytes> {
        let encoded = encode(&offer.batches, self.codec).ok()?;
        let head = Head {
            created_at: offer.created_at,
            ttl_seconds: offer.ttl_seconds,
            compute_ms: u64::try_from(offer.compute.as_millis()).unwrap_or(u64::MAX),
            rows: offer.batches.iter().map(|b| b.num_rows() as u64).sum(),
            codec: encoded.format,
        };
        let object = self.seal.close(key, &head, &encoded.bytes)?;
        (object.len() as u64 <= MAX_OBJECT_BYTES).then(|| object.into())
    }

    pub(super) fn failed(&self, failure: &Failure, operation: &'static str) {
        if self.breaker.failed(Instant::now()) {
            tracing::warn!(
                target: "data_cache",
                operation,
                error = failure.0,
                effect = "it is not asked until a probe is answered",
                "shared_store_failed"
            );
        }
    }

    fn probe(self: &Arc<Self>) {
        let tier = self.clone();
        self.reads.run(move || {
            let is_answered = tier.store.probe().is_ok();
            tier.breaker.probed(is_answered, Instant::now());
            if is_answered {
                tracing::info!(target: "data_cache", "shared_store_answers_again");
            }
        });
    }

    /// Waits until nothing is to be written; says whether that is so.
    pub(super) fn wait_idle(&self, deadline: Instant) -> bool {
        self.writes.wait_idle(deadline) && self.leases.wait_idle(deadline)
    }
}

/// A result that was set, and its place among the writes.
struct Replacement {
    offer: Offer,
    _place: Place,
}

/// A place among the writes, left even if the write panics.
struct Place {
    tier: Arc<SharedTier>,
    bytes: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.tier.leave_place(self.bytes);
    }
}
