//! The sources on this machine: the environment before AWS, the `.env` file and the defaults after it.

use std::ffi::OsString;
use std::sync::Arc;

use crate::error::ErrorKind;
use crate::resolver::{Found, Inner, Request, failed};
use crate::setup::catalog::Entry;
use crate::{Attempt, Secret, SecretError, SecretSource};

impl Inner {
    /// Read at each call: an override takes effect at once.
    pub(crate) fn in_environment(
        &self,
        name: &str,
        entry: Option<&Arc<Entry>>,
    ) -> Result<Option<Secret>, SecretError> {
        let variable = entry.map_or(name, |entry| entry.env_var.as_str());
        match self.config.environment.get(variable) {
            None => Ok(None),
            Some(value) => self.admit_variable(name, entry, value),
        }
    }

    fn admit_variable(
        &self,
        name: &str,
        entry: Option<&Arc<Entry>>,
        value: OsString,
    ) -> Result<Option<Secret>, SecretError> {
        let mut bytes = value.into_encoded_bytes();
        let admitted = self.admit(name, entry, &bytes, SecretSource::Env);
        crate::source::env::wipe(&mut bytes);
        admitted.map(Some).map_err(|problem| {
            let variable = entry.map_or(name, |entry| entry.env_var.as_str());
            let tried = Attempt {
                source: SecretSource::Env,
                outcome: format!("{variable}: {problem}"),
            };
            failed(name, ErrorKind::Malformed, vec![tried])
        })
    }

    /// The `.env` file, then the defaults.
    pub(crate) fn locally(
        &self,
        request: &Request<'_>,
        entry: Option<&Arc<Entry>>,
        tried: Vec<Attempt>,
    ) -> Result<Found, SecretError> {
        let mut tried = self.with_environment(request.name, entry, tried);
        let target = entry.and_then(|entry| entry.target.as_ref());
        if let Some(target) = target.filter(|_| self.remote.is_empty()) {
            tried.push(Attempt {
                source: SecretSource::AwsSsm,
                outcome: format!("{}: not asked, {}", target.path, self.gate.reason),
            });
        }
        if let Some(secret) = self.in_dotenv(request.name, entry, &mut tried)? {
            return Ok(Found::Secret(secret));
        }
        let default = request
            .default
            .or_else(|| entry.and_then(|entry| entry.default.as_deref()));
        let required = entry.is_some_and(|entry| entry.required);
        match default {
            Some(text) if !(required && self.config.production) => {
                Ok(Found::Secret(Secret::new(text, SecretSource::Default)))
            }
            Some(_) => {
                tried.push(Attempt {
                    source: SecretSource::Default,
                    outcome: "there is one, but not for a required secret in production".into(),
                });
                Err(failed(request.name, ErrorKind::Missing, tried))
            }
            None if required => Err(failed(request.name, ErrorKind::Missing, tried)),
            None => Ok(Found::Nowhere(tried)),
        }
    }

    pub(crate) fn in_dotenv(
        &self,
        name: &str,
        entry: Option<&Arc<Entry>>,
        tried: &mut Vec<Attempt>,
    ) -> Result<Option<Secret>, SecretError> {
        let variable = entry.map_or(name, |entry| entry.env_var.as_str());
        let file = self.dotenv.path().display();
        let source = SecretSource::DotEnv;
        let (kind, outcome) = match self.dotenv.load() {
            None => {
                tried.push(Attempt {
                    source,
                    outcome: format!("{file}: no such file"),
                });
                return Ok(None);
            }
            Some(Err(problem)) => (ErrorKind::Config, format!("{file}: {problem}")),
            Some(Ok(parsed)) => match parsed.get(variable) {
                Ok(Some(text)) => match self.admit(name, entry, text.as_bytes(), source) {
                    Ok(secret) => return Ok(Some(secret)),
                    Err(problem) => (
                        ErrorKind::Malformed,
                        format!("{file}: {variable}: {problem}"),
                    ),
                },
                Ok(None) => {
                    tried.push(Attempt {
                        source,
                        outcome: format!("{file}: {variable} is not set"),
                    });
                    return Ok(None);
                }
                Err((line, problem)) => (
                    ErrorKind::Malformed,
                    format!("{file}: line {line}: {variable}: {problem}"),
                ),
            },
        };
        tried.push(Attempt { source, outcome });
        Err(failed(name, kind, std::mem::take(tried)))
    }

    pub(crate) fn with_environment(
        &self,
        name: &str,
        entry: Option<&Arc<Entry>>,
        mut tried: Vec<Attempt>,
    ) -> Vec<Attempt> {
        let variable = entry.map_or(name, |entry| entry.env_var.as_str());
        let outcome = format!("{variable} is not set");
        tried.insert(
            0,
            Attempt {
                source: SecretSource::Env,
                outcome,
            },
        );
        tried
    }
}
