//! The resolver: turns a name into a secret. A call passes `get`, `mod` (which
//! sources apply), `refresh` (the lookup) and then the sources, each once.

mod block_on;
mod fast_path;
pub(crate) mod get;
pub(crate) mod global;
mod identity;
pub(crate) mod listeners;
mod local;
mod lookup_runtime;
mod refresh;
pub(crate) mod report;
pub(crate) mod rotation;
pub(crate) mod secrets;
pub(crate) mod stats;
pub(crate) mod tracked;
mod validate;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::Guard;

use crate::cache::entry::{CacheEntry, Joined};
use crate::cache::flight::Flight;
use crate::cache::freshness::{CachedLookup, Failure, Freshness, LookupResult};
use crate::error::ErrorKind;
use crate::resolver::listeners::Listeners;
use crate::resolver::lookup_runtime::LookupRuntime;
use crate::resolver::refresh::Queue;
use crate::resolver::stats::{Counters, add};
use crate::resolver::tracked::{Place, Tracked};
use crate::setup::catalog::{Entry, check_name};
use crate::setup::config::{Config, MAX_TTL};
use crate::setup::load;
use crate::source::aws::detection::AwsDetection;
use crate::source::chain::SourceChain;
use crate::source::dotenv::DotEnv;
use crate::source::file::SecretFiles;
use crate::source::target::Target;
use crate::{Attempt, Secret, SecretError, SecretSource};

/// Time a caller waits beyond the deadline of a lookup, so that the lookup can report the timeout itself.
const GRACE: Duration = Duration::from_millis(300);

/// Sources, catalog, and the cached state of its secrets.
pub(crate) struct Resolver {
    config: Config,
    catalog_origin: String,
    tracked: Vec<Arc<Tracked>>,
    index: HashMap<String, Arc<Tracked>, foldhash::fast::RandomState>,
    aws: AwsDetection,
    chain: SourceChain,
    files: SecretFiles,
    dotenv: DotEnv,
    listeners: Listeners,
    counters: Counters,
    runtime: LookupRuntime,
    queue: Queue,
}

/// Options of one call.
struct Request<'a> {
    name: &'a str,
    ttl: Option<Duration>,
    default: Option<&'a str>,
    /// A failure of AWS is an error even where automatic mode would fall back to the next source.
    strict: bool,
}

enum Found {
    Secret(Secret),
    /// From a remote value that was fresh enough.
    Cached(Secret),
    /// From a remote value that is in use already: listeners need not be notified.
    Reported(Secret),
    Nowhere(Vec<Attempt>),
}

/// Immediate result, or a lookup to wait for.
enum Step {
    Done(Result<Found, SecretError>),
    Wait(Arc<Flight>),
}

impl Found {
    fn is_binary(&self) -> bool {
        match self {
            Self::Secret(secret) | Self::Cached(secret) | Self::Reported(secret) => {
                secret.is_binary()
            }
            Self::Nowhere(_) => false,
        }
    }

    fn secret(self) -> Result<Secret, Vec<Attempt>> {
        match self {
            Self::Secret(secret) | Self::Cached(secret) | Self::Reported(secret) => Ok(secret),
            Self::Nowhere(tried) => Err(tried),
        }
    }
}

impl Resolver {
    fn new(config: Config) -> Result<Self, SecretError> {
        config.check()?;
        let (mut catalog, catalog_origin) = load::catalog(&config)?;
        for (name, aws_path) in &config.added {
            catalog.add(name, aws_path)?;
        }
        let aws = AwsDetection::decide(
            config.aws,
            config.aws_agent.as_deref(),
            &config.environment,
            &config.dmi_path,
        );
        let chain = load::sources(&config, &aws);
        let variables = config.expand_dotenv.then(|| config.environment.clone());
        let dotenv = DotEnv::new(config.dotenv.clone(), variables);
        if config.dotenv_is_meant {
            dotenv.warn_if_missing();
        }
        let files = SecretFiles::new(config.environment.clone(), config.secrets_folder.clone());
        files.warn_of_missing_folders();
        let entries = catalog.entries.into_iter();
        let tracked: Vec<_> = entries.map(|entry| track(entry, &chain, &files)).collect();
        let both = |tracked: &Arc<Tracked>| {
            [&tracked.entry.name, &tracked.entry.env_var]
                .map(|key| (key.clone(), Arc::clone(tracked)))
        };
        Ok(Self {
            index: tracked.iter().flat_map(both).collect(),
            listeners: Listeners::new(config.deadline_duration()),
            counters: Counters::default(),
            runtime: LookupRuntime::default(),
            queue: Queue::default(),
            config,
            catalog_origin,
            tracked,
            aws,
            chain,
            files,
            dotenv,
        })
    }

    fn find(&self, name: &str) -> Option<&Arc<Tracked>> {
        self.index.get(name)
    }

    /// Answers from local sources and the cache, or returns the lookup to wait for.
    fn begin(self: &Arc<Self>, request: &Request<'_>) -> Step {
        match self.answer_or_lookup(request) {
            Ok(step) => step,
            Err(error) => Step::Done(Err(error)),
        }
    }

    fn answer_or_lookup(self: &Arc<Self>, request: &Request<'_>) -> Result<Step, SecretError> {
        let place = self.identify(request)?;
        if let Some(secret) = self.from_env(place)? {
            return Ok(Step::Done(Ok(Found::Secret(secret))));
        }
        let Some(tracked) = place.tracked.filter(|tracked| tracked.is_remote) else {
            return match self.from_file(place)? {
                Some(secret) => Ok(Step::Done(Ok(Found::Secret(secret)))),
                None => self
                    .after_remote(request, place, Vec::new())
                    .map(|found| Step::Done(Ok(found))),
            };
        };
        self.cached(request, tracked)
    }

    fn identify<'a>(&'a self, request: &Request<'a>) -> Result<Place<'a>, SecretError> {
        if request.ttl.is_some_and(|ttl| ttl > MAX_TTL) {
            return Err(SecretError::config(format!(
                "the time to live exceeds the limit of {} seconds",
                MAX_TTL.as_secs()
            )));
        }
        let tracked = self.find(request.name);
        if tracked.is_none() {
            check_name(request.name).map_err(SecretError::config)?;
        }
        Ok(Place::new(request.name, tracked))
    }

    fn cached(
        self: &Arc<Self>,
        request: &Request<'_>,
        tracked: &Arc<Tracked>,
    ) -> Result<Step, SecretError> {
        let (ttl, now) = (self.ttl(request), self.config.clock.now());
        tracked.cache.note_ttl(ttl);
        loop {
            let known = tracked.cache.known();
            let freshness = known.as_ref().map_or(Freshness::Fetch, |known| {
                known.freshness(ttl, self.max_stale(), now)
            });
            if let Freshness::Fresh {
                value: Some(secret),
                refresh: false,
            } = freshness
            {
                let is_reported = known.as_ref().is_some_and(|known| known.is_reported);
                let found = match is_reported {
                    true => Found::Reported(secret),
                    false => Found::Cached(secret),
                };
                return Ok(Step::Done(Ok(found)));
            }
            // a file that appeared takes precedence; it is noticed once the remote value is due
            if let Some(secret) = self.from_file(tracked.into())? {
                return Ok(Step::Done(Ok(Found::Secret(secret))));
            }
            match freshness {
                Freshness::Fetch => {
                    if let Some(flight) = self.join(tracked, &known, ttl.is_zero()) {
                        return Ok(Step::Wait(flight));
                    }
                }
                known_answer => {
                    let found = self.from_known(request, tracked, &known, known_answer);
                    return found.map(|found| Step::Done(Ok(found)));
                }
            }
        }
    }

    fn from_known(
        self: &Arc<Self>,
        request: &Request<'_>,
        tracked: &Arc<Tracked>,
        known: &Guard<Option<Arc<CachedLookup>>>,
        freshness: Freshness,
    ) -> Result<Found, SecretError> {
        match freshness {
            Freshness::Fresh {
                value: Some(secret),
                refresh,
            } => {
                if refresh {
                    self.join(tracked, known, false);
                }
                Ok(Found::Cached(secret))
            }
            Freshness::Stale(secret) => {
                add(&self.counters.stale);
                Ok(Found::Secret(secret))
            }
            Freshness::Failed(failure) => self.after_failure(request, tracked, &failure),
            Freshness::Fresh { value: None, .. } | Freshness::Fetch => {
                add(&self.counters.absent_hits);
                let tried = known.as_ref().map(|known| known.absent_attempts());
                let place = Place::new(request.name, Some(tracked));
                self.after_remote(request, place, tried.unwrap_or_default())
            }
        }
    }

    /// Completes a call that waited for a lookup.
    fn landed(&self, request: &Request<'_>, result: LookupResult) -> Result<Found, SecretError> {
        add(&self.counters.misses);
        let Some(tracked) = self.find(request.name) else {
            let place = Place::new(request.name, None);
            return self.after_remote(request, place, Vec::new());
        };
        let known = tracked.cache.known();
        match result {
            Ok(Some(secret)) => Ok(Found::Secret(secret)),
            Ok(None) => {
                let tried = known.as_ref().map(|known| known.absent_attempts());
                let place = Place::new(request.name, Some(tracked));
                self.after_remote(request, place, tried.unwrap_or_default())
            }
            Err(failure) => {
                let (ttl, now) = (self.ttl(request), self.config.clock.now());
                let stale = known
                    .as_ref()
                    .and_then(|known| known.stale(failure.kind, ttl, self.max_stale(), now));
                match stale {
                    Some(secret) => {
                        add(&self.counters.stale);
                        Ok(Found::Secret(secret))
                    }
                    None => self.after_failure(request, tracked, &failure),
                }
            }
        }
    }

    /// Falls back to the sources after the remote ones if, in automatic mode, AWS is
    /// unavailable or refuses the credentials; every other failure is an error.
    fn after_failure(
        &self,
        request: &Request<'_>,
        tracked: &Arc<Tracked>,
        failure: &Failure,
    ) -> Result<Found, SecretError> {
        let place = Place::new(request.name, Some(tracked));
        if failure.falls_back && !request.strict {
            return self.after_remote(request, place, failure.tried.to_vec());
        }
        let tried = self.with_local_attempts(place, failure.tried.to_vec());
        Err(failed(request.name, failure.kind, tried))
    }

    /// Returns the running lookup, or a new one; `None` if one has ended since `known` was read.
    fn join(
        self: &Arc<Self>,
        tracked: &Arc<Tracked>,
        known: &Guard<Option<Arc<CachedLookup>>>,
        fresh: bool,
    ) -> Option<Arc<Flight>> {
        let joined = tracked.cache.join(known.as_ref(), fresh);
        self.begin_lookup(tracked, joined, known.is_some())
    }

    fn begin_lookup(
        self: &Arc<Self>,
        tracked: &Arc<Tracked>,
        joined: Joined,
        is_refresh: bool,
    ) -> Option<Arc<Flight>> {
        match joined {
            Joined::Running(flight) => Some(flight),
            Joined::Changed => None,
            Joined::New(flight) => {
                if is_refresh {
                    add(&self.counters.refreshes);
                }
                self.enqueue((Arc::clone(tracked), Arc::clone(&flight)));
                Some(flight)
            }
        }
    }

    /// Notifies listeners of a value before any caller gets it, and counts the result.
    fn deliver(&self, request: &Request<'_>, result: &Result<Found, SecretError>) {
        match result {
            Ok(Found::Reported(secret)) => self.counters.hit(secret.source()),
            Ok(Found::Cached(secret)) => {
                self.hand_out(request.name, secret);
                self.counters.hit(secret.source());
            }
            Ok(Found::Secret(secret)) => {
                self.hand_out(request.name, secret);
                self.counters.answered(secret.source());
            }
            Ok(Found::Nowhere(_)) => self.counters.answered(SecretSource::Missing),
            Err(error) => self.counters.failed(error),
        }
    }

    fn hand_out(&self, name: &str, secret: &Secret) {
        if secret.source() == SecretSource::Default {
            return;
        }
        let place = Place::new(name, self.find(name));
        if self.listeners.hand_out(&[(place, secret)])
            && let Some(tracked) = place.tracked
        {
            tracked.hand_out(secret, self.default_ttl());
        }
    }

    fn ttl(&self, request: &Request<'_>) -> Duration {
        request.ttl.unwrap_or_else(|| self.default_ttl())
    }

    fn default_ttl(&self) -> Duration {
        Duration::from_secs(self.config.ttl_seconds)
    }

    fn max_stale(&self) -> Duration {
        Duration::from_secs(self.config.max_stale_seconds)
    }

    /// Returns the maximum wait of one caller.
    fn patience(&self) -> Duration {
        self.config.deadline_duration() + GRACE
    }
}

fn track(entry: Entry, chain: &SourceChain, files: &SecretFiles) -> Arc<Tracked> {
    let target = Target {
        path: entry.path.clone().unwrap_or_else(|| entry.name.clone()),
        aws: entry.aws.clone(),
    };
    Arc::new(Tracked {
        is_remote: chain.knows(&target),
        files: files.names(&entry.name, &entry.env_var),
        cache: CacheEntry::default(),
        target,
        entry,
    })
}

/// Creates the error for a secret that was requested by this name.
fn failed(name: &str, kind: ErrorKind, tried: Vec<Attempt>) -> SecretError {
    let what = match kind {
        ErrorKind::Missing => "is required and missing",
        ErrorKind::Unavailable => "could not be fetched: the source is not reachable",
        ErrorKind::Unauthenticated => "could not be fetched: the credentials were refused",
        ErrorKind::AccessDenied => "does not exist or access to it is denied",
        ErrorKind::Throttled => "could not be fetched: the source is throttling requests",
        ErrorKind::Transient => "could not be fetched: temporary failure",
        ErrorKind::Decrypt => "could not be decrypted",
        ErrorKind::Malformed => "is malformed",
        ErrorKind::Config => "is misconfigured",
    };
    SecretError::new(kind, format!("the secret `{name}` {what}"), tried)
}

/// Creates the error for a secret that no source has and the catalog does not require.
fn not_found(name: &str, tried: Vec<Attempt>) -> SecretError {
    let message = format!("the secret `{name}` was not found: no source has it");
    SecretError::new(ErrorKind::Missing, message, tried)
}
