//! Lookups with a limit, and writes in the background.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use bytes::Bytes;

use super::breaker::{Breaker, Permit};
use super::config::SharedConfig;
use super::frame::{Head, Seal};
use super::s3::S3;
use super::stats::{Counters, SharedStats, count};
use super::store::{Failure, MAX_OBJECT_BYTES, Store};
use crate::config::Codec;
use crate::disk::{decode, encode};
use crate::error::Error;
use crate::key::Key;
use crate::memory::retained_bytes;
use crate::pool::Pool;

/// A lookup waits no longer.
const READ_LIMIT: Duration = Duration::from_secs(2);
/// Writes that wait or run; more are dropped.
const MAX_WRITES: usize = 16;
/// Bytes of the results that wait or are written; more are dropped.
const MAX_WRITE_BYTES: u64 = 64 << 20;

pub(crate) struct SharedTier {
    store: Box<dyn Store>,
    seal: Seal,
    min_compute: Duration,
    codec: Codec,
    breaker: Breaker,
    counters: Counters,
    reads: Pool,
    writes: Pool,
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

impl SharedTier {
    pub(crate) fn open(config: &SharedConfig, codec: Codec) -> Result<Arc<Self>, Error> {
        config.check()?;
        Ok(Arc::new(Self {
            seal: config.seal()?,
            store: Box::new(S3::new(config)?),
            min_compute: config.min_compute,
            codec,
            breaker: Breaker::default(),
            counters: Counters::default(),
            reads: Pool::default(),
            writes: Pool::default(),
            waiting: AtomicUsize::new(0),
            waiting_bytes: AtomicU64::new(0),
        }))
    }

    pub(crate) fn stats(&self) -> SharedStats {
        self.counters.stats(self.breaker.is_open())
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

    /// Looks a result up, for at most 2 s. `is_fresh` says of a creation time and a lifetime whether it is taken. Blocks.
    pub(crate) fn find(
        self: &Arc<Self>,
        key: &Key,
        is_fresh: impl FnOnce(u64, u64) -> bool,
    ) -> Option<Offer> {
        match self.breaker.permit(Instant::now()) {
            Permit::Ask => {}
            refused => {
                count(&self.counters.skipped);
                if refused == Permit::Probe {
                    self.probe();
                }
                return None;
            }
        }
        let found = self
            .ask(*key)
            .and_then(|object| self.read(key, &object, is_fresh));
        match found {
            Some(_) => count(&self.counters.hits),
            None => count(&self.counters.misses),
        };
        found
    }

    /// The object of this name. The thread that waits for the store is another one, so that the limit holds whatever it does.
    fn ask(self: &Arc<Self>, key: Key) -> Option<Bytes> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let tier = self.clone();
        self.reads.run(move || {
            let _ = sender.send(tier.store.get(&key));
        });
        match receiver.recv_timeout(READ_LIMIT) {
            Ok(Ok(found)) => found,
            Ok(Err(failure)) => {
                count(&self.counters.failed);
                self.failed(&failure, "get");
                None
            }
            Err(_) => {
                count(&self.counters.failed);
                self.failed(&Failure("no answer within 2 s".to_owned()), "get");
                None
            }
        }
    }

    fn read(
        &self,
        key: &Key,
        object: &Bytes,
        is_fresh: impl FnOnce(u64, u64) -> bool,
    ) -> Option<Offer> {
        let Some((head, payload)) = self.seal.open(key, object) else {
            return self.refuse(key, "its seal is not ours");
        };
        if !is_fresh(head.created_at, head.ttl_seconds) {
            count(&self.counters.expired);
            return None;
        }
        match decode(head.codec, payload, head.rows) {
            Ok(batches) => Some(Offer {
                batches,
                created_at: head.created_at,
                ttl_seconds: head.ttl_seconds,
                compute: Duration::from_millis(head.compute_ms),
            }),
            Err(error) => self.refuse(key, &error),
        }
    }

    fn refuse(&self, key: &Key, reason: &str) -> Option<Offer> {
        count(&self.counters.refused);
        tracing::warn!(target: "data_cache", %key, reason, "shared_object_refused");
        None
    }

    /// Writes a result in the background, if it is worth it and not too much waits.
    pub(crate) fn offer(self: &Arc<Self>, key: Key, offer: Offer) {
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
        self.writes.run(move || place.tier.write(&key, &offer));
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

    fn write(&self, key: &Key, offer: &Offer) {
        let Some(object) = self.object(key, offer) else {
            count(&self.counters.unfit);
            return;
        };
        match self.store.put(key, object) {
            Ok(()) => {
                count(&self.counters.written);
            }
            Err(failure) => {
                count(&self.counters.write_failed);
                self.failed(&failure, "put");
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

    fn failed(&self, failure: &Failure, operation: &'static str) {
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
        self.writes.wait_idle(deadline)
    }
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
