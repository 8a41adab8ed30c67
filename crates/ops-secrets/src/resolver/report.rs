use std::fmt;
use std::sync::Arc;

use crate::cache::slot::Known;
use crate::error::ErrorKind;
use crate::resolver::listeners::looks_secret;
use crate::resolver::{Inner, Request, Secrets};
use crate::setup::catalog::Entry;
use crate::source::dotenv::Diagnostic;
use crate::{Secret, SecretError, SecretSource};

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
    /// What exactly was asked then, and the answer.
    pub last_error_detail: Option<String>,
    /// What an operator should know or change: a line of `.env` that is refused, a value that ends with a line break, a
    /// default in plain text.
    pub problems: Vec<String>,
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
}

impl Inner {
    fn describe(&self, entry: &Arc<Entry>) -> SecretReport {
        let known = entry.slot.known.load_full();
        let value = known.as_ref().and_then(|known| known.value.as_ref());
        let failure = known.as_ref().and_then(|known| known.failure.as_ref());
        let (now, ttl) = (self.config.clock.now(), self.default_ttl());
        let (source, problems) = self.source_as_known(entry, known.as_deref());
        let is_remote = entry.target.is_some() && !self.remote.is_empty();
        SecretReport {
            name: entry.name.clone(),
            env_var: entry.env_var.clone(),
            description: entry.description.clone(),
            required: entry.required,
            source,
            present: source != SecretSource::Missing,
            age_seconds: value.map(|value| now.saturating_sub(value.fetched_at).as_secs()),
            next_refresh_seconds: value.map(|value| value.due_in(ttl, now).as_secs()),
            not_asked_yet: source != SecretSource::Env && is_remote && known.is_none(),
            last_error: failure.map(|failure| failure.kind),
            last_error_detail: failure
                .and_then(|failure| failure.tried.last())
                .map(|attempt| attempt.outcome.clone()),
            problems,
        }
    }

    /// What a call would find now, as far as that is known without asking AWS, and what an operator should know of it.
    fn source_as_known(
        &self,
        entry: &Arc<Entry>,
        known: Option<&Known>,
    ) -> (SecretSource, Vec<String>) {
        let mut problems = Vec::new();
        let local = match self.in_environment(&entry.name, Some(entry)) {
            Ok(None) => match self.remote_as_known(known) {
                Some(Some(secret)) => Ok(Some(secret)),
                Some(None) => Ok(None),
                None => self.locally_as_known(entry),
            },
            found => found,
        };
        let found = local.unwrap_or_else(|error| {
            let told = error.tried().last().map(|attempt| &attempt.outcome);
            problems.extend(told.cloned());
            None
        });
        if found
            .as_ref()
            .is_some_and(|secret| secret.expose().ends_with('\n'))
        {
            problems.push("the value ends with a line break".into());
        }
        if entry.sensitive
            && looks_secret(&entry.name)
            && entry.default.as_ref().is_some_and(|text| !text.is_empty())
        {
            problems.push("the catalogue has a default for it in plain text".into());
        }
        let source = found.map_or(SecretSource::Missing, |secret| secret.source());
        (source, problems)
    }

    /// `None` where the sources after AWS decide; `Some(None)` where a failure does.
    fn remote_as_known(&self, known: Option<&Known>) -> Option<Option<Secret>> {
        let known = known?;
        let value = known.value.as_ref().and_then(|value| value.secret.clone());
        match (&value, &known.failure) {
            (Some(_), _) => Some(value),
            (None, Some(failure)) if !self.passes_over(failure.kind) => Some(None),
            (None, _) => None,
        }
    }

    fn locally_as_known(&self, entry: &Arc<Entry>) -> Result<Option<Secret>, SecretError> {
        let request = Request {
            name: &entry.name,
            ttl: None,
            default: None,
        };
        match self.locally(&request, Some(entry), Vec::new()) {
            Ok(found) => Ok(found.secret().ok()),
            // that a default does not count in production is worth a note, that nothing is there is said already
            Err(error) if error.kind() == ErrorKind::Missing && !only_a_default(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn only_a_default(error: &SecretError) -> bool {
    let last = error.tried().last();
    last.is_some_and(|attempt| attempt.source == SecretSource::Default)
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
        let mut notes = self.problems.clone();
        if let Some(kind) = self.last_error {
            let detail = self.last_error_detail.as_deref().unwrap_or_default();
            notes.insert(0, format!("{}: {detail}", kind.as_str()));
        }
        if self.not_asked_yet {
            notes.insert(0, "AWS not asked yet".into());
        }
        let note = notes.join("; ");
        let line = format!(
            "{:<28} {:<20} {required:<9} {age:>6} {refresh:>8}  {note}",
            self.name, self.source
        );
        f.write_str(line.trim_end())
    }
}
