//! Lookups with a time limit, and the wait for a machine that computes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::applicant::{Applicant, Turn};
use super::lease::Lease;
use super::question::{Offer, Question};
use super::stats::count;
use super::store::Operation;
use super::tier::{SharedTier, Unanswered};
use crate::disk::decode;
use crate::key::Key;

/// Maximum time that a lookup waits for another machine that computes; then this one computes too.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// Outcome of a lookup.
pub(crate) enum Joined {
    Found(Offer),
    /// The caller has to compute it; with a lease, other machines wait for the result until the lease is dropped.
    Compute(Option<Lease>),
}

/// Read within a lookup, which may read twice and is counted once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    First,
    /// Another machine may have written it since.
    Again,
}

impl SharedTier {
    /// Looks up a result. If another machine computes it, waits for that
    /// machine, at most 30 s. Waits at most 2 s for the store itself. Blocks.
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

    /// Looks up a result that is not computed on a miss.
    pub(crate) fn look_up(self: &Arc<Self>, question: &Question<'_>) -> Option<Offer> {
        if !self.may_ask() {
            count(&self.counters.skipped);
            return None;
        }
        let by = Instant::now() + self.patience;
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
        let (deadline, answered_by) = (start + MAX_WAIT, start + self.patience);
        match self.find(question, answered_by, Look::First) {
            Ok(Some(offer)) => return Joined::Found(offer),
            Ok(None) if self.may_lease(answered_by) => {}
            _ => return Joined::Compute(None),
        }
        let mut applicant = Applicant::new(self, question.key, answered_by);
        loop {
            let (lease, by) = match applicant.apply(deadline, question) {
                // the result may have been written since the lookup
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

    fn find(
        self: &Arc<Self>,
        question: &Question<'_>,
        by: Instant,
        look: Look,
    ) -> Result<Option<Offer>, Unanswered> {
        let key = *question.key;
        let found = self.call(by, Operation::Get, move |store| store.get(&key));
        let found = found.inspect_err(|Unanswered| {
            count(&self.counters.failed);
        })?;
        Ok(found.and_then(|object| self.read(question, &object, look)))
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
}
