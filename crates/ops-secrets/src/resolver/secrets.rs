//! Handle for applications.

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
    /// Creates a resolver configured from the environment; see [`Config::from_env`].
    ///
    /// # Errors
    /// Fails if a variable, the catalog file or a setting is invalid.
    pub fn from_env() -> Result<Self, SecretError> {
        Self::new(Config::from_env()?)
    }

    /// Creates a resolver. Reads the catalog, but queries no source yet.
    ///
    /// # Errors
    /// Fails if the catalog or a setting is invalid.
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

    /// Requests a secret by its catalog name or its variable. Nothing happens before the result is awaited.
    pub fn get<'a>(&'a self, name: &'a str) -> Get<'a> {
        Get::new(Ok(self), name)
    }

    /// Calls `listener` for each value in use now, and for each value that comes into use or is replaced later.
    ///
    /// Listeners are notified of secrets in the catalog unless it sets `sensitive: false`, and of others whose names
    /// look secret or whose values contain a URL with a password before an `@` that differs from the user name. They
    /// are never notified of defaults or of values under [`MIN_ANNOUNCED_BYTES`](crate::MIN_ANNOUNCED_BYTES). A
    /// value may be reported more than once. The listener runs on the thread that is about to get the value, before
    /// it gets it, and should be quick. It may request secrets itself. Its panics are caught, logged and counted.
    pub fn on_resolved(&self, listener: impl Fn(&Resolved) + Send + Sync + 'static) {
        let listener = one_by_one(listener);
        self.resolver
            .listeners
            .listen(listener, &self.resolver.tracked);
    }

    /// Calls `listener` as [`on_resolved`](Secrets::on_resolved) does, with all values that are
    /// reported together: [`warm_up`](Secrets::warm_up) makes one call, however many secrets there are.
    pub fn on_resolved_batch(&self, listener: impl Fn(&[Resolved]) + Send + Sync + 'static) {
        let listeners = &self.resolver.listeners;
        listeners.listen(Arc::new(listener), &self.resolver.tracked);
    }

    /// Drops the remote value, so that the next call queries the source. Returns whether there was one.
    ///
    /// A lookup that started before is neither stored nor joined; its waiters start over.
    pub fn invalidate(&self, name: &str) -> bool {
        let tracked = self.resolver.find(name);
        tracked.is_some_and(|tracked| tracked.cache.invalidate())
    }

    /// Returns the totals so far.
    pub fn stats(&self) -> Stats {
        let requests = |source| self.resolver.chain.requests(source);
        let tracked = self.resolver.tracked.iter();
        let fast_path_hits = tracked.map(|tracked| tracked.cache.ready.hits());
        Stats {
            ssm_lookups: requests(SecretSource::AwsSsm),
            secrets_manager_lookups: requests(SecretSource::AwsSecretsManager),
            listener_failures: self.resolver.listeners.failures(),
            ..self.resolver.counters.snapshot(fast_path_hits)
        }
    }

    /// Sets the `secrets_*` metrics of the process to the totals so far.
    #[cfg(feature = "metrics")]
    pub fn publish_metrics(&self) {
        self.stats().publish();
    }

    /// Returns the number of callers that currently wait for the remote lookup of `name`.
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
