//! The handle that applications hold.

use std::sync::Arc;

use crate::caught::caught;
use crate::resolver::Resolver;
use crate::resolver::get::Get;
use crate::resolver::listeners::{Resolved, one_by_one};
use crate::resolver::stats::Stats;
use crate::{Config, SecretError, SecretSource};

/// Resolves secrets. Cheap to clone; clones share cache, listeners and counters.
#[derive(Clone)]
pub struct Secrets {
    pub(super) resolver: Arc<Resolver>,
}

impl Secrets {
    /// Makes a resolver configured by the environment; see [`Config::from_env`].
    ///
    /// # Errors
    /// Fails if a variable, the catalog file or a setting is wrong.
    pub fn from_env() -> Result<Self, SecretError> {
        Self::new(Config::from_env()?)
    }

    /// Makes a resolver. Reads the catalog; asks nobody yet.
    ///
    /// # Errors
    /// Fails if the catalog or a setting is wrong.
    pub fn new(config: Config) -> Result<Self, SecretError> {
        let resolver = Resolver::new(config)?;
        let (catalog, entries) = (&resolver.catalog_origin, resolver.tracked.len());
        let (aws, why) = (resolver.aws.open, &resolver.aws.reason);
        caught(
            || tracing::info!(target: "ops_secrets", %catalog, entries, aws, %why, "secrets_ready"),
        );
        Ok(Self {
            resolver: Arc::new(resolver),
        })
    }

    /// Asks for a secret by its catalog name or by its variable. Nothing happens before the result is awaited.
    pub fn get<'a>(&'a self, name: &'a str) -> Get<'a> {
        Get::new(Ok(self), name)
    }

    /// Calls `listener` for each value in use now, and for each one that comes into use or is replaced later.
    ///
    /// Announced are secrets of the catalog unless it says `sensitive: false`, and others whose names sound like secrets or
    /// whose values are URLs with a password before an `@`, other than their user's name; never defaults, never values under
    /// [`MIN_ANNOUNCED_BYTES`](crate::MIN_ANNOUNCED_BYTES). A value may be announced more than once. The listener runs on the
    /// thread that is about to get the value, before it gets it: it should be quick. It may ask for secrets itself. Its
    /// panics are caught, logged and counted.
    pub fn on_resolved(&self, listener: impl Fn(&Resolved) + Send + Sync + 'static) {
        let listener = one_by_one(listener);
        self.resolver
            .listeners
            .listen(listener, &self.resolver.tracked);
    }

    /// Calls `listener` as [`on_resolved`](Secrets::on_resolved) does, with all values that are announced together:
    /// [`warm_up`](Secrets::warm_up) announces once, however many secrets there are.
    pub fn on_resolved_batch(&self, listener: impl Fn(&[Resolved]) + Send + Sync + 'static) {
        let listeners = &self.resolver.listeners;
        listeners.listen(Arc::new(listener), &self.resolver.tracked);
    }

    /// Forgets the remote value, so that the next call asks again. Returns whether there was one.
    ///
    /// A lookup that began before is neither stored nor joined; its waiters start over.
    pub fn invalidate(&self, name: &str) -> bool {
        let tracked = self.resolver.find(name);
        tracked.is_some_and(|tracked| tracked.cache.invalidate())
    }

    /// Totals so far.
    pub fn stats(&self) -> Stats {
        let asked = |source| self.resolver.chain.asked(source);
        let tracked = self.resolver.tracked.iter();
        let at_hand = tracked.map(|tracked| tracked.cache.ready.hits());
        Stats {
            ssm_lookups: asked(SecretSource::AwsSsm),
            secrets_manager_lookups: asked(SecretSource::AwsSecretsManager),
            listener_failures: self.resolver.listeners.failures(),
            ..self.resolver.counters.snapshot(at_hand)
        }
    }

    /// Sets the `secrets_*` metrics of the process to the totals so far.
    #[cfg(feature = "metrics")]
    pub fn publish_metrics(&self) {
        self.stats().publish();
    }

    /// Number of callers that wait for the remote lookup of `name` right now.
    #[cfg(feature = "testing")]
    pub fn waiting(&self, name: &str) -> usize {
        let tracked = self.resolver.find(name);
        tracked.map_or(0, |tracked| tracked.cache.waiting())
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (count, origin) = (self.resolver.tracked.len(), &self.resolver.catalog_origin);
        write!(f, "Secrets({count} cataloged from {origin})")
    }
}
