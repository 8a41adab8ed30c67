//! The tier that machines share, asked after the files.

use std::time::Duration;

use super::Cache;
use super::hit::Hit;
use super::inner::Inner;
use super::look_up::CLOCK_SLACK_SECONDS;
use super::store::{StoreRequest, Stored};
use crate::error::Error;
use crate::event::Tier;
use crate::key::Key;
use crate::shared_tier::{Offer, SharedConfig, SharedStats, SharedTier};

impl Cache {
    /// Shares results with other machines through a bucket, from now on: those of queries of engines that can name their
    /// [`content`](crate::QueryEngine::content). Nothing is asked of the bucket yet.
    ///
    /// Content alone decides what is shared. [`invalidate`](Self::invalidate) and its like remove it from memory and
    /// files of this machine, not from the bucket: the next query may find the same result there.
    ///
    /// # Errors
    ///
    /// Fails for settings that cannot be right, such as no key, and if the cache shares already.
    pub fn share(&self, config: &SharedConfig) -> Result<(), Error> {
        let tier = SharedTier::open(config, self.inner.config().codec)?;
        if self.inner.shared.set(tier) {
            return Ok(());
        }
        Err(Error::input("shared tier: the cache shares already"))
    }

    /// Counts of the tier that machines share; `None` without [`share`](Self::share).
    pub fn shared_stats(&self) -> Option<SharedStats> {
        self.inner.shared.get().map(|tier| tier.stats())
    }
}

impl Inner {
    /// Returns `true` if results may come from other machines.
    pub(crate) fn shares(&self) -> bool {
        self.config.enabled && self.shared.get().is_some()
    }

    pub(crate) fn count_without_content(&self) {
        if let Some(tier) = self.shared.get() {
            tier.without_content();
        }
    }

    /// Looks a result up, and keeps it here for the time that it has left. Says if it is in a file. The request has no
    /// batches. Blocks for at most 2 s.
    pub(crate) fn find_shared(&self, name: Key, request: StoreRequest<'_>) -> Option<(Hit, bool)> {
        let tier = self.shared.get()?;
        let asked = self.ttls.effective(request.ttl, request.label).ok()?;
        let now = self.now();
        let is_fresh = |created_at: u64, ttl: u64| {
            created_at <= now + CLOCK_SLACK_SECONDS
                && now.saturating_sub(created_at) < ttl.min(asked)
        };
        let offer = tier.find(&name, is_fresh)?;
        let request = StoreRequest {
            batches: &offer.batches,
            compute: offer.compute,
            ..request
        };
        let ttl = offer.ttl_seconds.min(asked);
        let (stored, entry) = self.store_found(&request, offer.created_at, ttl);
        let hit = Hit {
            entry,
            tier: Tier::Shared,
            age: Duration::from_secs(now.saturating_sub(offer.created_at)),
        };
        let in_file = Tier::Disk;
        Some((
            hit,
            matches!(stored, Stored::Kept { tier, .. } if tier == in_file),
        ))
    }

    /// Has a result written to the bucket, in the background.
    pub(crate) fn offer(&self, name: Key, request: &StoreRequest<'_>) {
        let (Some(tier), Ok(ttl_seconds)) = (
            self.shared.get(),
            self.ttls.effective(request.ttl, request.label),
        ) else {
            return;
        };
        if ttl_seconds == 0 || request.batches.is_empty() {
            return;
        }
        let offer = Offer {
            batches: request.batches.to_vec(),
            created_at: self.now(),
            ttl_seconds,
            compute: request.compute,
        };
        tier.offer(name, offer);
    }

    #[cfg(feature = "metrics")]
    pub(super) fn publish_shared_metrics(&self) {
        use metrics::{counter, gauge};
        let Some(tier) = self.shared.get() else {
            return;
        };
        let stats = tier.stats();
        counter!("cache_hits_total", "cache_type" => "shared").absolute(stats.hits);
        counter!("cache_misses_total", "cache_type" => "shared").absolute(stats.misses);
        counter!("cache_tier_hits_total", "tier" => "shared").absolute(stats.hits);
        for (outcome, count) in [
            ("refused", stats.refused),
            ("expired", stats.expired),
            ("failed", stats.failed),
            ("skipped", stats.skipped),
            ("without_content", stats.without_content),
            ("written", stats.written),
            ("dropped", stats.dropped),
            ("unfit", stats.unfit),
            ("write_failed", stats.write_failed),
        ] {
            counter!("cache_shared_total", "outcome" => outcome).absolute(count);
        }
        gauge!("cache_shared_open").set(f64::from(u8::from(stats.is_open)));
    }
}
