//! Counters of a resolver.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::cache::ready::Hits;
use crate::error::ErrorKind;
use crate::{SecretError, SecretSource};

/// Totals since the resolver was created.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Calls that succeeded, by source, in the order of [`SecretSource::ALL`].
    pub by_source: Vec<(SecretSource, u64)>,
    /// Errors by kind, in the order of [`ErrorKind::ALL`].
    pub by_error: Vec<(ErrorKind, u64)>,
    /// Calls served from the cache of the remote sources: a value or its absence, fresh enough.
    pub cache_hits: u64,
    /// Calls that waited for a remote lookup.
    pub cache_misses: u64,
    /// Lookups for a secret with an earlier result, ahead of its expiry or after it.
    pub refreshes: u64,
    /// Calls served a value past its time to live, because its source failed.
    pub stale_served: u64,
    /// Requests to AWS Parameter Store; a bulk request counts once.
    pub ssm_lookups: u64,
    /// Requests to AWS Secrets Manager; a bulk request counts once.
    pub secrets_manager_lookups: u64,
    /// Listener calls that panicked, or that other callers timed out waiting for.
    pub listener_failures: u64,
}

#[derive(Default)]
pub(crate) struct Counters {
    by_source: [AtomicU64; SecretSource::ALL.len()],
    by_error: [AtomicU64; ErrorKind::ALL.len()],
    /// Counted apart from `by_source`, so that a hit increments one counter, not two.
    hits: [AtomicU64; SecretSource::ALL.len()],
    pub(crate) absent_hits: AtomicU64,
    pub(crate) misses: AtomicU64,
    pub(crate) refreshes: AtomicU64,
    pub(crate) stale: AtomicU64,
}

impl Counters {
    pub(crate) fn answered(&self, source: SecretSource) {
        add(&self.by_source[source.index()]);
    }

    pub(crate) fn hit(&self, source: SecretSource) {
        add(&self.hits[source.index()]);
    }

    pub(crate) fn failed(&self, error: &SecretError) {
        add(&self.by_error[error.kind() as usize]);
    }

    /// Returns the totals, including the hits that each secret counts itself.
    pub(crate) fn snapshot(&self, fast_path_hits: impl Iterator<Item = Hits>) -> Stats {
        let mut hits = self.hits.each_ref().map(get);
        for secret in fast_path_hits {
            hits.iter_mut()
                .zip(secret)
                .for_each(|(sum, hits)| *sum += hits);
        }
        let answers =
            |source: SecretSource| get(&self.by_source[source.index()]) + hits[source.index()];
        Stats {
            by_source: SecretSource::ALL
                .iter()
                .map(|source| (*source, answers(*source)))
                .collect(),
            by_error: ErrorKind::ALL
                .iter()
                .map(|kind| (*kind, get(&self.by_error[*kind as usize])))
                .collect(),
            cache_hits: hits.iter().sum::<u64>() + get(&self.absent_hits),
            cache_misses: get(&self.misses),
            refreshes: get(&self.refreshes),
            stale_served: get(&self.stale),
            ..Stats::default()
        }
    }
}

pub(crate) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[cfg(feature = "metrics")]
impl Stats {
    /// Sets the process's metrics to these totals.
    pub(crate) fn publish(&self) {
        for (source, total) in &self.by_source {
            metrics::counter!("secrets_lookups_total", "source" => source.as_str())
                .absolute(*total);
        }
        for (kind, total) in &self.by_error {
            metrics::counter!("secrets_errors_total", "kind" => kind.as_str()).absolute(*total);
        }
        metrics::counter!("secrets_cache_hits_total").absolute(self.cache_hits);
        metrics::counter!("secrets_cache_misses_total").absolute(self.cache_misses);
        metrics::counter!("secrets_refreshes_total").absolute(self.refreshes);
        metrics::counter!("secrets_stale_served_total").absolute(self.stale_served);
        metrics::counter!("secrets_listener_failures_total").absolute(self.listener_failures);
        metrics::counter!("secrets_backend_requests_total", "source" => "aws_ssm")
            .absolute(self.ssm_lookups);
        metrics::counter!("secrets_backend_requests_total", "source" => "aws_secrets_manager")
            .absolute(self.secrets_manager_lookups);
    }
}
