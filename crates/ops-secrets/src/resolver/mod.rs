//! The resolver: from a name to a secret, and what it knows on the way.

mod fast_path;
pub(crate) mod get;
pub(crate) mod global;
pub(crate) mod listeners;
mod local;
mod lookup_thread;
mod refresh;
pub(crate) mod report;
pub(crate) mod stats;
mod validate;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::cache::flight::Flight;
use crate::cache::slot::{Decision, Failure, Known, Landed};
use crate::error::ErrorKind;
use crate::resolver::get::Get;
use crate::resolver::listeners::{Listeners, Resolved};
use crate::resolver::lookup_thread::Deck;
use crate::resolver::refresh::Waiting;
use crate::resolver::stats::{Counters, Stats, add, get};
use crate::setup::catalog::{Catalogue, Entry, check_name};
use crate::setup::config::{Config, MAX_TTL};
use crate::source::Remote;
use crate::source::aws::detection::Gate;
use crate::source::dotenv::DotEnv;
use crate::{Attempt, Secret, SecretError, SecretSource};

/// Resolves secrets. Cheap to clone; clones share cache, listeners and counters.
#[derive(Clone)]
pub struct Secrets {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) catalogue: Catalogue,
    pub(crate) catalogue_origin: String,
    pub(crate) gate: Gate,
    pub(crate) remote: Remote,
    pub(crate) dotenv: DotEnv,
    pub(crate) listeners: Listeners,
    pub(crate) counters: Counters,
    pub(crate) deck: Deck,
}

/// One call's wishes.
pub(crate) struct Request<'a> {
    pub(crate) name: &'a str,
    pub(crate) ttl: Option<Duration>,
    pub(crate) default: Option<&'a str>,
}

pub(crate) enum Found {
    Secret(Secret),
    /// From a remote value that was fresh enough.
    Cached(Secret),
    Nowhere(Vec<Attempt>),
}

impl Found {
    pub(crate) fn secret(self) -> Result<Secret, Vec<Attempt>> {
        match self {
            Self::Secret(secret) | Self::Cached(secret) => Ok(secret),
            Self::Nowhere(tried) => Err(tried),
        }
    }
}

/// Answered at once, or once the flight has landed.
pub(crate) enum Step {
    Done(Result<Found, SecretError>),
    Wait(Arc<Flight<Landed>>),
}

impl Secrets {
    /// A resolver configured by the environment; see [`Config::from_env`].
    pub fn from_env() -> Result<Self, SecretError> {
        Self::new(Config::from_env()?)
    }

    /// A resolver. Reads the catalogue; asks nobody yet.
    pub fn new(config: Config) -> Result<Self, SecretError> {
        config.check()?;
        let (catalogue, catalogue_origin) = crate::setup::load::catalogue(&config)?;
        let gate = Gate::decide(config.aws, &config.environment, &config.dmi_path);
        let remote = crate::setup::load::remote(&config, &gate);
        let variables = config.expand_dotenv.then(|| config.environment.clone());
        let dotenv = DotEnv::new(config.dotenv.clone(), variables);
        let (listeners, counters, deck) =
            (Listeners::default(), Counters::default(), Deck::default());
        let inner = Inner {
            config,
            catalogue,
            catalogue_origin,
            gate,
            remote,
            dotenv,
            listeners,
            counters,
            deck,
        };
        let (catalogue, entries) = (&inner.catalogue_origin, inner.catalogue.entries().len());
        let (aws, why) = (inner.gate.open, &inner.gate.reason);
        tracing::info!(target: "ops_secrets", %catalogue, entries, aws, %why, "secrets_ready");
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Asks for a secret by its catalogue name or by its variable. Nothing happens before the result is awaited.
    pub fn get<'a>(&'a self, name: &'a str) -> Get<'a> {
        Get::new(Ok(self), name)
    }

    /// Calls `listener` for each value in use now, and for each one that comes into use or is replaced later.
    ///
    /// Told are secrets of the catalogue unless it says `sensitive: false`, and others whose names sound like secrets;
    /// never defaults, never values under [`MIN_ANNOUNCED_BYTES`](crate::MIN_ANNOUNCED_BYTES). A value may be told more
    /// than once. The listener runs on the resolving thread: it should be quick.
    pub fn on_resolved(&self, listener: impl Fn(&Resolved) + Send + Sync + 'static) {
        self.inner.listen(Arc::new(listener));
    }

    /// Drops what is known of the remote value, so that the next call asks again. Returns whether something was.
    pub fn invalidate(&self, name: &str) -> bool {
        let entry = self.inner.catalogue.find(name);
        entry.is_some_and(|entry| entry.slot.known.swap(None).is_some())
    }

    /// Totals so far.
    pub fn stats(&self) -> Stats {
        let asked = |guarded: &Option<crate::source::Guarded>| {
            guarded.as_ref().map_or(0, |source| get(&source.asked))
        };
        let remote = &self.inner.remote;
        let (ssm_lookups, secrets_manager_lookups) =
            (asked(&remote.ssm), asked(&remote.secrets_manager));
        Stats {
            ssm_lookups,
            secrets_manager_lookups,
            ..self.inner.counters.snapshot()
        }
    }

    /// Sets the `secrets_*` metrics of the process to the totals so far.
    #[cfg(feature = "metrics")]
    pub fn publish_metrics(&self) {
        self.stats().publish();
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Secrets({} catalogued from {})",
            self.inner.catalogue.entries().len(),
            self.inner.catalogue_origin
        )
    }
}

impl Inner {
    pub(crate) fn begin(self: &Arc<Self>, request: &Request<'_>) -> Step {
        let entry = match self.identify(request) {
            Ok(entry) => entry,
            Err(error) => return Step::Done(Err(error)),
        };
        match self.in_environment(request.name, entry) {
            Ok(None) => {}
            Ok(Some(secret)) => return Step::Done(Ok(Found::Secret(secret))),
            Err(error) => return Step::Done(Err(error)),
        }
        let Some(entry) = entry.filter(|entry| entry.target.is_some() && !self.remote.is_empty())
        else {
            return Step::Done(self.locally(request, entry, Vec::new()));
        };
        self.cached(request, entry)
    }

    fn identify(&self, request: &Request<'_>) -> Result<Option<&Arc<Entry>>, SecretError> {
        match request.ttl {
            Some(ttl) if ttl > MAX_TTL => Err(SecretError::config(format!(
                "the time to live is longer than {} seconds",
                MAX_TTL.as_secs()
            ))),
            _ => match self.catalogue.find(request.name) {
                None => check_name(request.name)
                    .map_err(SecretError::config)
                    .map(|()| None),
                found => Ok(found),
            },
        }
    }

    fn cached(self: &Arc<Self>, request: &Request<'_>, entry: &Arc<Entry>) -> Step {
        let (ttl, now) = (self.ttl(request), self.config.clock.now());
        if ttl.as_secs() > entry.slot.longest_ttl.load(Ordering::Relaxed) {
            entry
                .slot
                .longest_ttl
                .fetch_max(ttl.as_secs(), Ordering::Relaxed);
        }
        let known = entry.slot.known.load();
        let decision = known.as_ref().map_or(Decision::Fetch, |known| {
            known.decide(ttl, self.max_stale(), now)
        });
        match decision {
            Decision::Fetch => match self.join(entry, known.as_ref()) {
                Some(flight) => Step::Wait(flight),
                None => self.cached(request, entry),
            },
            Decision::Failed(failure) => Step::Done(self.after_failure(request, entry, &failure)),
            Decision::Stale(secret) => {
                add(&self.counters.stale);
                Step::Done(Ok(Found::Secret(secret)))
            }
            Decision::Fresh { value, refresh } => {
                if refresh {
                    self.join(entry, known.as_ref());
                }
                match value {
                    Some(secret) => Step::Done(Ok(Found::Cached(secret))),
                    None => {
                        add(&self.counters.absent_hits);
                        let tried = known.as_ref().map(|known| known.tried_in_vain());
                        Step::Done(self.locally(request, Some(entry), tried.unwrap_or_default()))
                    }
                }
            }
        }
    }

    /// The second half of a call that had to wait.
    pub(crate) fn landed(
        self: &Arc<Self>,
        request: &Request<'_>,
        landed: Landed,
    ) -> Result<Found, SecretError> {
        add(&self.counters.misses);
        let Some(entry) = self.catalogue.find(request.name) else {
            return self.locally(request, None, Vec::new());
        };
        match landed {
            Ok(Some(secret)) => Ok(Found::Secret(secret)),
            Ok(None) => {
                let known = entry.slot.known.load();
                let tried = known.as_ref().map(|known| known.tried_in_vain());
                self.locally(request, Some(entry), tried.unwrap_or_default())
            }
            Err(failure) => {
                let known = entry.slot.known.load();
                let now = self.config.clock.now();
                let stale = known.as_ref().and_then(|known| {
                    known.stale(failure.kind, self.ttl(request), self.max_stale(), now)
                });
                match stale {
                    Some(secret) => {
                        add(&self.counters.stale);
                        Ok(Found::Secret(secret))
                    }
                    None => self.after_failure(request, entry, &failure),
                }
            }
        }
    }

    /// Where AWS merely is not there, automatic mode goes on; every other failure ends here.
    fn after_failure(
        &self,
        request: &Request<'_>,
        entry: &Arc<Entry>,
        failure: &Failure,
    ) -> Result<Found, SecretError> {
        if self.passes_over(failure.kind) {
            return self.locally(request, Some(entry), failure.tried.to_vec());
        }
        Err(failed(
            request.name,
            failure.kind,
            self.with_environment(request.name, Some(entry), failure.tried.to_vec()),
        ))
    }

    /// The flight under way, or a new one; `None` when one has landed since `seen` was read.
    fn join(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        seen: Option<&Arc<Known>>,
    ) -> Option<Arc<Flight<Landed>>> {
        let mut slot = entry.slot.flight.lock();
        if let Some(flight) = slot.as_ref() {
            return Some(Arc::clone(flight));
        }
        if entry.slot.known.load().as_ref().map(Arc::as_ptr) != seen.map(Arc::as_ptr) {
            return None;
        }
        let flight = Flight::new();
        *slot = Some(Arc::clone(&flight));
        drop(slot);
        if seen.is_some() {
            add(&self.counters.refreshes);
        }
        Waiting::start(self, vec![(Arc::clone(entry), Arc::clone(&flight))]);
        Some(flight)
    }

    pub(crate) fn passes_over(&self, kind: ErrorKind) -> bool {
        self.config.aws == crate::AwsMode::Auto
            && matches!(kind, ErrorKind::Unavailable | ErrorKind::Unauthenticated)
    }

    fn ttl(&self, request: &Request<'_>) -> Duration {
        request.ttl.unwrap_or_else(|| self.default_ttl())
    }

    pub(crate) fn default_ttl(&self) -> Duration {
        Duration::from_secs(self.config.ttl_seconds)
    }

    pub(crate) fn max_stale(&self) -> Duration {
        Duration::from_secs(self.config.max_stale_seconds)
    }

    pub(crate) fn count(&self, result: &Result<Found, SecretError>) {
        match result {
            Ok(Found::Cached(secret)) => self.counters.hit(secret.source()),
            Ok(Found::Secret(secret)) => self.counters.answered(secret.source()),
            Ok(Found::Nowhere(_)) => self.counters.answered(SecretSource::Missing),
            Err(error) => self.counters.failed(error),
        }
    }

    /// How often AWS was asked; for reports.
    pub(crate) fn remote_requests(&self) -> u64 {
        let sources = [&self.remote.ssm, &self.remote.secrets_manager];
        sources
            .into_iter()
            .flatten()
            .map(|source| source.asked.load(Ordering::Relaxed))
            .sum()
    }
}

pub(crate) fn failed(name: &str, kind: ErrorKind, tried: Vec<Attempt>) -> SecretError {
    let what = match kind {
        ErrorKind::Missing => "is required and missing",
        ErrorKind::Unavailable => "cannot be asked for: the source is not reachable",
        ErrorKind::Unauthenticated => "cannot be asked for: the credentials were refused",
        ErrorKind::AccessDenied => "is denied or does not exist",
        ErrorKind::Throttled => "was asked for too often",
        ErrorKind::Transient => "could not be fetched just now",
        ErrorKind::Decrypt => "could not be decrypted",
        ErrorKind::Malformed => "is malformed",
        ErrorKind::Config => "is configured wrongly",
    };
    SecretError::new(kind, format!("the secret `{name}` {what}"), tried)
}
