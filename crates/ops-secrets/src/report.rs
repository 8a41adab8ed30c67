use std::fmt;
use std::sync::Arc;

use crate::catalogue::Entry;
use crate::dotenv::Diagnostic;
use crate::error::ErrorKind;
use crate::flight::{Flight, block_on};
use crate::refresh::Waiting;
use crate::secrets::{Inner, Secrets};
use crate::slot::Landed;
use crate::{Attempt, SecretError, SecretSource};

/// What is known of all catalogued secrets: no value, no part, length or hash of one. `Display` is a table.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Where the catalogue came from.
    pub catalogue: String,
    /// Whether AWS is asked, and why or why not.
    pub aws: String,
    /// How often AWS was asked so far.
    pub aws_requests: u64,
    /// The `.env` file.
    pub dotenv: DotEnvReport,
    /// The secrets, in the catalogue's order.
    pub secrets: Vec<SecretReport>,
}

/// The state of the `.env` file.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct DotEnvReport {
    /// Where it is looked for.
    pub path: String,
    /// Whether it is there.
    pub present: bool,
    /// Why it is refused, or what to change about its permissions.
    pub problem: Option<String>,
    /// What is wrong with its lines.
    pub diagnostics: Vec<Diagnostic>,
}

/// The state of one secret.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct SecretReport {
    /// The name in the catalogue.
    pub name: String,
    /// Its variable.
    pub env_var: String,
    /// The catalogue's description.
    pub description: String,
    /// Whether the catalogue requires it.
    pub required: bool,
    /// Where it comes from as far as is known without asking AWS.
    pub source: SecretSource,
    /// Whether there is a value.
    pub present: bool,
    /// The age of the remote value.
    pub age_seconds: Option<u64>,
    /// When the remote value is refreshed ahead of expiry, if it is used.
    pub next_refresh_seconds: Option<u64>,
    /// Whether AWS would have to be asked to know better.
    pub not_asked_yet: bool,
    /// What the last remote lookup failed with.
    pub last_error: Option<ErrorKind>,
}

impl Secrets {
    /// The state of all catalogued secrets, from what is known now: asks nobody.
    pub fn report(&self) -> Report {
        let inner = &self.inner;
        let loaded = inner.dotenv.load();
        let refused = loaded
            .as_ref()
            .and_then(|loaded| loaded.as_ref().err().cloned());
        let dotenv = DotEnvReport {
            path: inner.dotenv.path().display().to_string(),
            present: loaded.is_some(),
            problem: refused.or_else(|| inner.dotenv.permission_problem().map(str::to_owned)),
            diagnostics: loaded
                .and_then(Result::ok)
                .map(|parsed| parsed.diagnostics.clone())
                .unwrap_or_default(),
        };
        Report {
            catalogue: inner.catalogue_origin.clone(),
            aws: format!(
                "{}: {}",
                if inner.gate.open {
                    "asked"
                } else {
                    "not asked"
                },
                inner.gate.reason
            ),
            aws_requests: inner.remote_requests(),
            dotenv,
            secrets: inner
                .catalogue
                .entries()
                .iter()
                .map(|entry| inner.describe(entry))
                .collect(),
        }
    }

    /// Looks up all catalogued secrets in bulk, so that later calls find them.
    pub async fn warm_up(&self) {
        let flights = self.inner.depart();
        for flight in flights {
            // what failed is told by the call that needs it, and by the report
            let _ = std::future::poll_fn(|cx| flight.poll(cx)).await;
        }
    }

    /// Looks up all catalogued secrets and reports. One error names every required secret that cannot be had.
    pub async fn validate(&self) -> Result<Report, SecretError> {
        self.warm_up().await;
        let mut tried = Vec::new();
        let mut names = Vec::new();
        let mut kind = ErrorKind::Missing;
        for entry in self
            .inner
            .catalogue
            .entries()
            .iter()
            .filter(|entry| entry.required)
        {
            if let Err(error) = self.get(&entry.name).await {
                names.push(format!("`{}`", entry.name));
                kind = if names.len() == 1 {
                    error.kind()
                } else {
                    ErrorKind::Missing
                };
                let why = |attempt: &Attempt| Attempt {
                    source: attempt.source,
                    outcome: format!("{}: {}", entry.name, attempt.outcome),
                };
                tried.extend(error.tried().iter().map(why));
            }
        }
        match names.len() {
            0 => Ok(self.report()),
            count => {
                let message = format!(
                    "{count} required secrets cannot be had: {}",
                    names.join(", ")
                );
                Err(SecretError::new(kind, message, tried))
            }
        }
    }

    /// [`validate`](Secrets::validate), waiting on this thread.
    pub fn validate_blocking(&self) -> Result<Report, SecretError> {
        block_on(self.validate())
    }
}

impl Inner {
    /// Starts one lookup for all secrets that are not known and not set in the environment.
    fn depart(self: &Arc<Self>) -> Vec<Arc<Flight<Landed>>> {
        let (mut new, mut all) = (Vec::new(), Vec::new());
        for entry in self.catalogue.entries() {
            let here = self.config.environment.get(&entry.env_var).is_some();
            if entry.target.is_none()
                || self.remote.is_empty()
                || here
                || entry.slot.known.load().is_some()
            {
                continue;
            }
            let mut slot = entry.slot.flight.lock();
            let flight = slot.get_or_insert_with(|| {
                let flight = Flight::new();
                new.push((Arc::clone(entry), Arc::clone(&flight)));
                flight
            });
            all.push(Arc::clone(flight));
        }
        if !new.is_empty() {
            Waiting::start(self, new);
        }
        all
    }

    fn describe(&self, entry: &Arc<Entry>) -> SecretReport {
        let known = entry.slot.known.load_full();
        let value = known.as_ref().and_then(|known| known.value.as_ref());
        let remote = value
            .and_then(|value| value.secret.as_ref())
            .map(|secret| secret.source());
        let env = self
            .config
            .environment
            .get(&entry.env_var)
            .map(|_| SecretSource::Env);
        let dotenv = || {
            matches!(
                self.in_dotenv(&entry.name, Some(entry), &mut Vec::new()),
                Ok(Some(_))
            )
        };
        let local = || dotenv().then_some(SecretSource::DotEnv);
        let default = || entry.default.as_ref().map(|_| SecretSource::Default);
        let source = env
            .or(remote)
            .or_else(local)
            .or_else(default)
            .unwrap_or(SecretSource::Missing);
        let now = self.config.clock.now();
        let ttl = std::time::Duration::from_secs(self.config.ttl_seconds);
        SecretReport {
            name: entry.name.clone(),
            env_var: entry.env_var.clone(),
            description: entry.description.clone(),
            required: entry.required,
            source,
            present: source != SecretSource::Missing,
            age_seconds: value.map(|value| now.saturating_sub(value.fetched_at).as_secs()),
            next_refresh_seconds: value.map(|value| value.due_in(ttl, now).as_secs()),
            not_asked_yet: env.is_none()
                && entry.target.is_some()
                && !self.remote.is_empty()
                && known.is_none(),
            last_error: known
                .as_ref()
                .and_then(|known| known.failure.as_ref())
                .map(|failure| failure.kind),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "catalogue  {}", self.catalogue)?;
        writeln!(
            f,
            "aws        {} ({} requests)",
            self.aws, self.aws_requests
        )?;
        let state = if self.dotenv.present {
            "present"
        } else {
            "no such file"
        };
        let problem = self.dotenv.problem.as_deref().unwrap_or(state);
        writeln!(f, ".env       {}: {problem}", self.dotenv.path)?;
        for Diagnostic { line, key, problem } in &self.dotenv.diagnostics {
            writeln!(
                f,
                "           line {line}: {}{problem}",
                key.as_ref()
                    .map(|key| format!("{key}: "))
                    .unwrap_or_default()
            )?;
        }
        writeln!(
            f,
            "{:<28} {:<20} {:<9} {:>6} {:>8}  note",
            "name", "source", "required", "age s", "refresh"
        )?;
        for secret in &self.secrets {
            writeln!(f, "{secret}")?;
        }
        Ok(())
    }
}

impl fmt::Display for SecretReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds =
            |seconds: Option<u64>| seconds.map_or("-".to_owned(), |seconds| seconds.to_string());
        let (age, refresh) = (
            seconds(self.age_seconds),
            seconds(self.next_refresh_seconds),
        );
        let required = if self.required { "yes" } else { "no" };
        let note = match self.last_error {
            Some(kind) => kind.as_str(),
            None if self.not_asked_yet => "AWS not asked yet",
            None => "",
        };
        write!(
            f,
            "{:<28} {:<20} {required:<9} {age:>6} {refresh:>8}  {note}",
            self.name, self.source
        )
    }
}
