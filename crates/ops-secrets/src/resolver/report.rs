//! State of all secrets, for operators.

use std::fmt;
use std::sync::Arc;

use crate::cache::freshness::CachedLookup;
use crate::error::ErrorKind;
use crate::resolver::secrets::Secrets;
use crate::resolver::tracked::Tracked;
use crate::resolver::{Request, Resolver};
use crate::source::Health;
use crate::source::dotenv::Diagnostic;
use crate::{Secret, SecretError, SecretSource};

/// State of all cataloged secrets, without any value, or part, length or hash of one. `Display` prints a table.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Origin of the catalog: a path or a name.
    pub catalog: String,
    /// Decision on querying AWS, with its reason.
    pub aws: String,
    /// Number of requests to AWS so far; a bulk request counts once.
    pub aws_requests: u64,
    /// Remote sources, in the order in which they are queried.
    pub sources: Vec<SourceReport>,
    /// The `.env` file.
    pub dotenv: DotEnvReport,
    /// The secrets, in the catalog's order.
    pub secrets: Vec<SecretReport>,
}

/// State of one remote source.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct SourceReport {
    /// The source.
    pub source: SecretSource,
    /// Number of requests to it so far; a bulk request counts once.
    pub requests: u64,
    /// Its state, as known without querying it.
    pub health: Health,
}

/// State of the `.env` file.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct DotEnvReport {
    /// Path of the file.
    pub path: String,
    /// The file exists.
    pub present: bool,
    /// Reason the file is refused, or the change that its permissions need.
    pub problem: Option<String>,
    /// Problems in its lines.
    pub diagnostics: Vec<Diagnostic>,
}

/// State of one secret.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct SecretReport {
    /// The name in the catalog.
    pub name: String,
    /// Variable in the environment and in `.env`.
    pub env_var: String,
    /// The catalog's description.
    pub description: String,
    /// The catalog requires it.
    pub required: bool,
    /// Source of the value, as far as known without querying a remote source.
    pub source: SecretSource,
    /// A value is present.
    pub present: bool,
    /// Age of the remote value; `None` if there is none, even if its source was queried.
    pub age_seconds: Option<u64>,
    /// Time until a use of the remote value refreshes it ahead of expiry.
    pub next_refresh_seconds: Option<u64>,
    /// The catalog has a plain-text default for it, although its name looks secret.
    pub has_plain_default: bool,
    /// The remote value is older than its time to live, because its refresh fails.
    pub is_stale: bool,
    /// The state is incomplete until a remote source is queried.
    pub not_asked_yet: bool,
    /// Failure of the last remote lookup.
    pub last_error: Option<ErrorKind>,
    /// Place and outcome of the last failed lookup.
    pub last_error_detail: Option<String>,
    /// Source that failed.
    pub last_error_source: Option<SecretSource>,
    /// Time since the last failed lookup. A secret that no caller
    /// requests is not looked up again, so an old failure may be over.
    pub last_error_age_seconds: Option<u64>,
    /// Notes for the operator: a refused line of `.env`, a file that others
    /// can read, a value that ends with a line break, a plain-text default.
    pub problems: Vec<String>,
}

impl Secrets {
    /// Reports the state of all cataloged secrets as known now, without querying any source.
    pub fn report(&self) -> Report {
        let resolver = &self.resolver;
        let loaded = resolver.dotenv.load();
        let refused = loaded
            .as_ref()
            .and_then(|loaded| loaded.as_ref().err())
            .map(|unread| unread.problem.clone());
        let dotenv = DotEnvReport {
            path: resolver.dotenv.path().display().to_string(),
            present: loaded.is_some(),
            problem: refused.or_else(|| resolver.dotenv.permission_problem().map(str::to_owned)),
            diagnostics: loaded
                .and_then(Result::ok)
                .map(|parsed| parsed.diagnostics.clone())
                .unwrap_or_default(),
        };
        let asked = if resolver.aws.open {
            "queried"
        } else {
            "not queried"
        };
        let sources = resolver.chain.sources();
        let sources: Vec<_> = sources
            .map(|(source, requests, health)| SourceReport {
                source,
                requests,
                health,
            })
            .collect();
        let tracked = resolver.tracked.iter();
        Report {
            catalog: resolver.catalog_origin.clone(),
            aws: format!("{asked}: {}", resolver.aws.reason),
            aws_requests: aws_requests(&sources),
            sources,
            dotenv,
            secrets: tracked.map(|tracked| resolver.describe(tracked)).collect(),
        }
    }
}

fn aws_requests(sources: &[SourceReport]) -> u64 {
    let aws = sources.iter().filter(|report| report.source.is_aws());
    aws.map(|report| report.requests).sum()
}

impl Resolver {
    fn describe(&self, tracked: &Arc<Tracked>) -> SecretReport {
        let entry = &tracked.entry;
        let known = tracked.cache.known();
        let value = known.as_ref().and_then(|known| known.value.as_ref());
        let value = value.filter(|value| value.secret.is_some());
        let failure = known.as_ref().and_then(|known| known.failure.as_ref());
        let cause = failure.and_then(|failure| failure.cause());
        let (now, ttl) = (self.config.clock.now(), self.default_ttl());
        let (secret, problems) = self.as_known(tracked);
        let source = secret.map_or(SecretSource::Missing, |secret| secret.source());
        let is_local = matches!(source, SecretSource::Env | SecretSource::File);
        SecretReport {
            name: entry.name.clone(),
            env_var: entry.env_var.clone(),
            description: entry.description.clone(),
            required: entry.required,
            source,
            present: source != SecretSource::Missing,
            age_seconds: value.map(|value| now.saturating_sub(value.fetched_at).as_secs()),
            next_refresh_seconds: value.map(|value| value.due_in(ttl, now).as_secs()),
            has_plain_default: tracked.has_plain_default(),
            is_stale: failure.is_some() && value.is_some_and(|value| value.is_over(ttl, now)),
            not_asked_yet: !is_local && tracked.is_remote && known.is_none(),
            last_error: failure.map(|failure| failure.kind),
            last_error_detail: cause.map(|attempt| attempt.outcome.clone()),
            last_error_source: cause.map(|attempt| attempt.source),
            last_error_age_seconds: failure
                .map(|failure| now.saturating_sub(failure.failed_at).as_secs()),
            problems,
        }
    }

    /// Returns the result of a call made now, as far as known
    /// without querying a remote source, and notes for the operator.
    pub(super) fn as_known(&self, tracked: &Arc<Tracked>) -> (Option<Secret>, Vec<String>) {
        let mut problems = Vec::new();
        let found = self.found_as_known(tracked).unwrap_or_else(|error| {
            let outcome = error.tried().last().map(|attempt| &attempt.outcome);
            problems.extend(outcome.cloned());
            None
        });
        if let Some(secret) = &found {
            if secret.source() == SecretSource::File {
                problems.extend(self.files.permission_problem(&tracked.files));
            }
            if secret.expose().ends_with(['\n', '\r']) {
                problems.push("the value ends with a line break".into());
            }
        }
        if tracked.has_plain_default() {
            problems.push("the catalog contains a plain-text default for it".into());
        }
        (found, problems)
    }

    fn found_as_known(&self, tracked: &Arc<Tracked>) -> Result<Option<Secret>, SecretError> {
        if let Some(secret) = self.from_env(tracked.into())? {
            return Ok(Some(secret));
        }
        if let Some(secret) = self.from_file(tracked.into())? {
            return Ok(Some(secret));
        }
        match remote_as_known(tracked.cache.known().as_deref()) {
            Some(secret) => Ok(secret),
            None => self.after_remote_as_known(tracked),
        }
    }

    fn after_remote_as_known(&self, tracked: &Arc<Tracked>) -> Result<Option<Secret>, SecretError> {
        let request = Request {
            name: &tracked.entry.name,
            ttl: None,
            default: None,
            strict: false,
        };
        match self.after_remote(&request, tracked.into(), Vec::new()) {
            Ok(found) => Ok(found.secret().ok()),
            // a default that production ignores is worth a note; a missing value is reported already
            Err(error) if error.kind() == ErrorKind::Missing && !only_a_default(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Returns the cached remote value: `None` if the sources after the remote ones decide, `Some(None)` if a failure does.
fn remote_as_known(known: Option<&CachedLookup>) -> Option<Option<Secret>> {
    let known = known?;
    match (known.secret(), &known.failure) {
        (Some(secret), _) => Some(Some(secret.clone())),
        (None, Some(failure)) if !failure.falls_back => Some(None),
        (None, _) => None,
    }
}

fn only_a_default(error: &SecretError) -> bool {
    let last = error.tried().last();
    last.is_some_and(|attempt| attempt.source == SecretSource::Default)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "catalog    {}", self.catalog)?;
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
        let mut notes = self.problems.clone();
        if let Some(kind) = self.last_error {
            let detail = self.last_error_detail.as_deref().unwrap_or_default();
            notes.insert(0, format!("{}: {detail}", kind.as_str()));
        }
        if self.not_asked_yet {
            notes.insert(0, "not queried yet".into());
        }
        let note = notes.join("; ");
        let line = format!(
            "{:<28} {:<20} {required:<9} {age:>6} {refresh:>8}  {note}",
            self.name, self.source
        );
        f.write_str(line.trim_end())
    }
}
