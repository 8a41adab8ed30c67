//! The tier that machines share, searched after the files.

use std::cell::Cell;
use std::time::Duration;

use super::Cache;
use super::coalesce::Plan;
use super::hit::Hit;
use super::inner::Inner;
use super::look_up::Limits;
use super::skip::Skip;
use super::store::{StoreRequest, Stored};
use super::time::CLOCK_SLACK_SECONDS;
use super::turn::WaitingThread;
use crate::config::SharedSettings;
use crate::error::Error;
use crate::etag::ContentDigest;
use crate::event::Tier;
use crate::key::Key;
use crate::shared_tier::{
    Joined, Lease, LookupRequest, Offer, SharedConfig, SharedStats, SharedTier, Standing,
};
use crate::sql::sanitize;
use crate::stats::Miss;

/// Key and place of a result without a content id.
#[derive(Clone, Copy)]
pub(crate) struct Placed {
    pub(crate) key: Key,
    /// `true` if the key is the same on all machines.
    pub(crate) is_shared: bool,
    /// `false` if the current epoch is unknown.
    pub(crate) is_storable: bool,
}

/// Outcome of a lookup in the shared tier.
pub(crate) enum SharedTurn {
    /// The result, and `true` if it is in a file of this machine now.
    Found(Hit, bool),
    Compute(Duty),
}

/// Duty to compute a result that is not shared, or too old for the caller.
#[derive(Default)]
pub(crate) struct Duty {
    /// Lease that other machines wait for.
    lease: Option<Lease>,
    /// TTL of the shared result to be replaced, if other callers
    /// still accept it and this caller limits the age; else 0.
    living_ttl: u64,
}

impl Cache {
    /// Shares results with other machines through a bucket, from now on: results of engines that identify their
    /// [`content`](crate::QueryEngine::content). Checks in the background if the bucket accepts writes and evaluates
    /// their conditions; an unavailable bucket is logged as a warning, and is not an error.
    ///
    /// These results depend on the content only. [`invalidate`](Self::invalidate) and the like remove them from memory
    /// and files of this machine, not from the bucket: the next query may find the same result there. With
    /// [`SharedConfig::computed`] other results are shared too, and invalidations apply to all machines.
    ///
    /// # Errors
    ///
    /// Fails for invalid settings, such as a missing key, and if the cache shares already.
    pub fn share(&self, config: &SharedConfig) -> Result<(), Error> {
        let tier = SharedTier::open(config, self.inner.config().codec)?;
        if self.inner.shared.set(tier) {
            return Ok(());
        }
        Err(Error::input("shared tier: the cache already has one"))
    }

    /// Returns counters of the shared tier; `None` without [`share`](Self::share).
    pub fn shared_stats(&self) -> Option<SharedStats> {
        self.inner.shared.get().map(|tier| tier.stats())
    }
}

impl SharedSettings {
    /// Returns the settings for [`Cache::share`](crate::Cache::share). `key`
    /// is the value of the secret named by [`key_secret`](Self::key_secret).
    #[must_use]
    pub fn config(&self, key: Option<&[u8]>) -> SharedConfig {
        let mut config = SharedConfig::s3(&self.bucket);
        if let Some(prefix) = &self.prefix {
            config = config.prefix(prefix);
        }
        if let Some(endpoint) = &self.endpoint {
            config = config.endpoint(endpoint);
        }
        if let Some(region) = &self.region {
            config = config.region(region);
        }
        if let Some(key) = key {
            config = config.key(key);
        }
        if self.unauthenticated {
            config = config.unauthenticated();
        }
        if let Some(least) = self.min_compute_ms {
            config = config.min_compute(Duration::from_millis(least));
        }
        if let Some(lease) = self.lease_seconds {
            config = config.lease(Duration::from_secs(lease));
        }
        if self.computed {
            config = config.computed();
        }
        config
    }
}

impl Inner {
    /// Returns `true` if results are shared with other machines.
    pub(crate) fn shares(&self) -> bool {
        self.config.enabled && self.shared.get().is_some()
    }

    pub(crate) fn count_without_content(&self) {
        if let Some(tier) = self.shared.get() {
            tier.count_without_content();
        }
    }

    /// Looks up a shared result and stores it here for its remaining lifetime; waits for another machine that computes
    /// it, for at most 30 s and as long as `is_wanted` returns `true`. The request has no batches. Blocks.
    pub(crate) fn join_shared(
        &self,
        name: Key,
        request: StoreRequest<'_>,
        limits: Limits,
        is_wanted: &dyn Fn() -> bool,
        thread: WaitingThread,
    ) -> SharedTurn {
        let (Some(tier), Ok(requested_ttl)) = (
            self.shared.get(),
            self.ttls.effective(request.ttl, request.label),
        ) else {
            return SharedTurn::Compute(Duty::default());
        };
        if requested_ttl == 0 {
            // no result is fresh enough, and the computed one is not stored
            return SharedTurn::Compute(Duty::default());
        }
        let living_ttl = Cell::new(0);
        // without a limit of its own, the request's TTL applies:
        // a longer earlier one would be inherited again and again
        let has_limits = limits != Limits::ENTRY_TTL;
        let is_fresh = |created_at: u64, ttl: u64| {
            let is_living = self.is_fresh(created_at, ttl);
            living_ttl.set(if is_living && has_limits { ttl } else { 0 });
            is_living && self.is_fresh(created_at, requested_ttl)
        };
        let joined = tier.join(&LookupRequest {
            key: &name,
            kind: &sanitize(request.label),
            is_fresh: &is_fresh,
            is_wanted,
            wait: &|| self.wait_place(thread),
        });
        match joined {
            Joined::Found(offer) => {
                let ttl = offer.ttl_seconds.min(requested_ttl);
                let (hit, is_in_file) = self.keep_shared(request, &offer, ttl);
                SharedTurn::Found(hit, is_in_file)
            }
            Joined::Compute(lease) => SharedTurn::Compute(Duty {
                lease,
                living_ttl: living_ttl.get(),
            }),
        }
    }

    #[cfg(feature = "testing")]
    pub(crate) fn let_bucket_time_pass(&self, time: Duration) {
        if let Some(tier) = self.shared.get() {
            tier.skip(time);
        }
    }

    /// Returns `true` if results without a content id are shared too.
    pub(super) fn shares_computed(&self) -> bool {
        self.config.enabled && self.shared.get().is_some_and(|tier| tier.shares_computed())
    }

    /// Returns key and place of a result without a content id. Waits at most 2 s for the first read of the epoch.
    pub(super) fn placed(&self, key: Key) -> Placed {
        let standing = match self.shared.get() {
            Some(tier) if self.config.enabled => tier.standing(),
            _ => Standing::Local,
        };
        let (key, is_shared, is_storable) = match standing {
            Standing::Local => (key, false, true),
            Standing::Epoch(epoch) => (key.under(&epoch), true, true),
            // a key under which nothing is ever stored
            Standing::Unknown => (key.under("unknown"), false, false),
        };
        Placed {
            key,
            is_shared,
            is_storable,
        }
    }

    /// Looks in all tiers for a result without a content id.
    pub(super) fn find_placed(&self, placed: Placed, label: &str) -> Result<Hit, Miss> {
        let found = self.find(&placed.key);
        let asks = placed.is_shared && found.is_err();
        let Some(tier) = self.shared.get().filter(|_| asks) else {
            return found;
        };
        let request = self.request_of(placed.key, label, &[], None);
        let offer = tier.look_up(&LookupRequest {
            key: &placed.key,
            kind: label,
            is_fresh: &|created_at, ttl| self.is_fresh(created_at, ttl),
            is_wanted: &|| true,
            wait: &|| None,
        });
        match offer {
            Some(offer) => Ok(self.keep_shared(request, &offer, offer.ttl_seconds).0),
            None => found,
        }
    }

    /// Returns a request without batches for a result without a content id.
    fn request_of<'a>(
        &self,
        key: Key,
        label: &'a str,
        tables: &[String],
        ttl: Option<u64>,
    ) -> StoreRequest<'a> {
        StoreRequest {
            key,
            label,
            tables: tables.to_vec(),
            batches: &[],
            ttl,
            compute: Duration::ZERO,
            begun: None,
            stamp: self.stamp(),
            digest: ContentDigest::default(),
            is_automatic: false,
        }
    }

    /// Looks up a planned result in the bucket, or waits for another machine that computes it.
    pub(super) fn join_planned(&self, plan: &Plan, thread: WaitingThread) -> SharedTurn {
        if !plan.is_shared {
            return SharedTurn::Compute(Duty::default());
        }
        let request = self.request_of(plan.key, &plan.label, &plan.tables, plan.ttl);
        self.join_shared(plan.key, request, plan.limits, &|| true, thread)
    }

    /// Writes a result that was set to the bucket; if it is not stored, makes earlier shared results unreachable.
    pub(super) fn replace_shared(
        &self,
        placed: Placed,
        request: &StoreRequest<'_>,
        stored: Stored,
    ) {
        let (true, Some(tier)) = (placed.is_shared, self.shared.get()) else {
            return;
        };
        let replaces = !matches!(stored, Stored::Skipped(Skip::ZeroTtl | Skip::NoSchema));
        match self.ttls.effective(request.ttl, request.label) {
            Ok(ttl_seconds) if replaces => tier.replace(
                placed.key,
                Offer {
                    batches: request.batches.to_vec(),
                    created_at: self.now(),
                    ttl_seconds,
                    compute: request.compute,
                },
            ),
            _ => tier.require_invalidation(),
        }
    }

    /// Makes results without a content id unreachable on every machine.
    pub(super) fn invalidate_shared(&self) -> Result<(), Error> {
        self.shared
            .get()
            .map_or(Ok(()), |tier| tier.invalidate_computed())
    }

    fn is_fresh(&self, created_at: u64, ttl: u64) -> bool {
        let now = self.now();
        created_at <= now + CLOCK_SLACK_SECONDS && now.saturating_sub(created_at) < ttl
    }

    /// Stores a found result with its original creation time; returns `true` if it is in a file.
    fn keep_shared(&self, request: StoreRequest<'_>, offer: &Offer, ttl: u64) -> (Hit, bool) {
        let request = StoreRequest {
            batches: &offer.batches,
            compute: offer.compute,
            ..request
        };
        // `ttl` is the caller's: a result that it replaces here may have a longer TTL for other callers
        let stored_ttl = ttl.max(self.living_ttl(&request.key));
        let (stored, entry) = self.store_found(&request, offer.created_at, stored_ttl);
        let hit = Hit {
            age: Duration::from_secs(self.now().saturating_sub(entry.created_at)),
            entry,
            ttl,
            tier: Tier::Shared,
        };
        let in_file = Tier::Disk;
        let is_in_file = matches!(stored, Stored::Kept { tier, .. } if tier == in_file);
        (hit, is_in_file)
    }

    /// Writes a result to the bucket in the background; other machines that wait for it then use it.
    pub(crate) fn offer(&self, name: Key, request: &StoreRequest<'_>, duty: Duty) {
        let (Some(tier), Ok(requested_ttl)) = (
            self.shared.get(),
            self.ttls.effective(request.ttl, request.label),
        ) else {
            return;
        };
        if requested_ttl == 0 || request.batches.is_empty() {
            return;
        }
        // callers with a shorter TTL check the age, so the TTL of
        // other callers is not shortened, here or on other machines
        let living_ttl = duty.living_ttl.max(self.living_ttl(&request.key));
        let offer = Offer {
            batches: request.batches.to_vec(),
            created_at: self.now(),
            ttl_seconds: requested_ttl.max(living_ttl),
            compute: request.compute,
        };
        tier.offer(name, &sanitize(request.label), offer, duty.lease);
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
            ("quick", stats.quick),
            ("waited", stats.waited),
            ("leased", stats.leases),
            ("lease_lost", stats.leases_lost),
            ("without_content", stats.without_content),
            ("written", stats.written),
            ("dropped", stats.dropped),
            ("unfit", stats.unfit),
            ("write_failed", stats.write_failed),
        ] {
            counter!("cache_shared_total", "outcome" => outcome).absolute(count);
        }
        let flag = |is_set: bool| f64::from(u8::from(is_set));
        gauge!("cache_shared_open").set(flag(stats.is_open));
        gauge!("cache_shared_unconditional").set(flag(stats.is_conditional == Some(false)));
        gauge!("cache_shared_read_only").set(flag(stats.is_read_only));
    }
}
