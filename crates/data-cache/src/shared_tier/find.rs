//! Lookups with a time limit, and the wait for a machine that computes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::applicant::{Applicant, Turn};
use super::lease::Lease;
use super::lookup::{LookupRequest, Offer};
use super::stats::count;
use super::store::Operation;
use super::tier::{SharedTier, Unavailable};
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
enum Attempt {
    First,
    /// Another machine may have written it since.
    Again,
}

impl SharedTier {
    /// Looks up a result. If another machine computes it, waits for that
    /// machine, at most 30 s. Waits at most 2 s for the store itself. Blocks.
    pub(crate) fn join(self: &Arc<Self>, lookup: &LookupRequest<'_>) -> Joined {
        let cost = self.costs.of(lookup.kind);
        if cost.is_some_and(|cost| cost < self.min_compute) {
            count(&self.counters.quick);
            return Joined::Compute(None);
        }
        if !self.may_call() {
            count(&self.counters.skipped);
            return Joined::Compute(None);
        }
        let joined = self.find_or_lease(lookup);
        match &joined {
            Joined::Found(offer) => {
                self.costs.learn(lookup.kind, offer.compute);
                count(&self.counters.hits)
            }
            Joined::Compute(_) => count(&self.counters.misses),
        };
        joined
    }

    /// Looks up a result that is not computed on a miss.
    pub(crate) fn look_up(self: &Arc<Self>, lookup: &LookupRequest<'_>) -> Option<Offer> {
        if !self.may_call() {
            count(&self.counters.skipped);
            return None;
        }
        let by = Instant::now() + self.patience;
        let found = self
            .find(lookup, by, Attempt::First)
            .unwrap_or_else(|Unavailable| None);
        match found {
            Some(_) => count(&self.counters.hits),
            None => count(&self.counters.misses),
        };
        found
    }

    fn find_or_lease(self: &Arc<Self>, lookup: &LookupRequest<'_>) -> Joined {
        let start = Instant::now();
        let (deadline, response_deadline) = (start + MAX_WAIT, start + self.patience);
        match self.find(lookup, response_deadline, Attempt::First) {
            Ok(Some(offer)) => return Joined::Found(offer),
            Ok(None) if self.may_lease(response_deadline) => {}
            _ => return Joined::Compute(None),
        }
        let mut applicant = Applicant::new(self, lookup.key, response_deadline);
        loop {
            let (lease, by) = match applicant.apply(deadline, lookup) {
                // the result may have been written since the lookup
                Turn::Mine(lease) => (Some(lease), applicant.response_deadline()),
                Turn::Released => (None, applicant.response_deadline()),
                Turn::Alone => return Joined::Compute(None),
            };
            match self.find(lookup, by, Attempt::Again) {
                Ok(Some(offer)) => return Joined::Found(offer),
                Ok(None) if lease.is_none() => {}
                _ => return Joined::Compute(lease),
            }
        }
    }

    fn find(
        self: &Arc<Self>,
        lookup: &LookupRequest<'_>,
        by: Instant,
        attempt: Attempt,
    ) -> Result<Option<Offer>, Unavailable> {
        let key = *lookup.key;
        let found = self.call(by, Operation::Get, move |store| store.get(&key));
        let found = found.inspect_err(|Unavailable| {
            count(&self.counters.failed);
        })?;
        Ok(found.and_then(|object| self.read(lookup, &object, attempt)))
    }

    fn read(&self, lookup: &LookupRequest<'_>, object: &Bytes, attempt: Attempt) -> Option<Offer> {
        let key = lookup.key;
        let Some((head, payload)) = self.seal.open(key, object) else {
            return self.refuse(key, "the seal cannot be verified", attempt);
        };
        if !(lookup.is_fresh)(head.created_at, head.ttl_seconds) {
            if attempt == Attempt::First {
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
            Err(error) => self.refuse(key, &error, attempt),
        }
    }

    fn refuse(&self, key: &Key, reason: &str, attempt: Attempt) -> Option<Offer> {
        if attempt == Attempt::First {
            count(&self.counters.refused);
            tracing::warn!(target: "data_cache", %key, reason, "shared_object_refused");
        }
        None
    }
}
