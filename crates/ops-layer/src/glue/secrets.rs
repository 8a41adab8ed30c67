#[cfg(feature = "log")]
use std::collections::VecDeque;
#[cfg(feature = "log")]
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub(crate) use ops_secrets::Config as Settings;
use ops_secrets::{ErrorKind, SecretSource, Secrets};
#[cfg(feature = "log")]
use ops_secrets::{Resolved, Secret};

use crate::findings::snapshot::{SecretState, Secrets as Seen};
use crate::{Config, Error};

/// Returns the variables that this configuration overrides, each with the value in effect.
pub(crate) fn overruled(settings: &Settings) -> Vec<(&'static str, String)> {
    settings.overruled()
}

/// Returns a configuration from a file, overridden by the environment.
pub(crate) fn beneath_environment(settings: Settings) -> Result<Settings, Error> {
    settings
        .with_env()
        .map_err(|error| Error::new("secrets", error))
}

/// Age from which the failure of a secret that is not needed may be over: it is not looked up again.
const OVER: Duration = Duration::from_secs(600);
/// Number of replaced values that are still redacted: requests that started before a rotation still have them.
#[cfg(feature = "log")]
const MAX_RETIRED: usize = 64;

/// Secrets, which `get_secret` also uses. Their values are redacted in log lines and span attributes.
#[derive(Debug)]
pub(crate) struct Part(pub(crate) Secrets);

impl Part {
    pub(crate) fn start(config: &Config) -> Result<Self, Error> {
        let failed = |error| Error::new("secrets", error);
        let mut settings = match config.secrets.clone() {
            Some(settings) => settings,
            None => Settings::from_env().map_err(failed)?,
        };
        if let Some(document) = &config.secrets_yaml {
            settings = settings
                .catalog_text(document.text.as_str())
                .catalog_name(document.name.as_str());
        }
        let secrets = ops_secrets::init(settings).map_err(failed)?.clone();
        #[cfg(feature = "log")]
        {
            let retired = Mutex::new(VecDeque::new());
            secrets.on_resolved_batch(move |batch| {
                let mut retired = retired.lock().unwrap_or_else(PoisonError::into_inner);
                batch
                    .iter()
                    .for_each(|resolved| redact(resolved, &mut retired));
            });
        }
        Ok(Self(secrets))
    }

    /// Returns the value of a secret that another part needs to
    /// start; `None` if a source is unavailable now, which is logged.
    ///
    /// # Errors
    ///
    /// Fails if no source has it.
    #[cfg(feature = "shared")]
    pub(crate) fn value(&self, name: &str) -> Result<Option<String>, Error> {
        match self.0.get(name).blocking() {
            Ok(secret) => Ok(Some(secret.expose().to_owned())),
            Err(error) if error.is_retryable() => {
                tracing::error!(target: "ops_layer", secret = name, %error, "secret_unavailable");
                Ok(None)
            }
            Err(error) => Err(Error::new("cache", error)),
        }
    }

    /// Returns whether the catalog names this variable.
    pub(crate) fn reads(&self, variable: &str) -> bool {
        let known = self.0.report().secrets;
        known.iter().any(|secret| secret.env_var == variable)
    }

    pub(crate) fn look(&self) -> Option<Seen> {
        Some(seen(&self.0))
    }

    pub(crate) fn publish(&self) {
        #[cfg(feature = "metrics")]
        self.0.publish_metrics();
    }
}

/// Redacts a value in all lines from now on. The most recently replaced values remain redacted.
#[cfg(feature = "log")]
fn redact(resolved: &Resolved, retired: &mut VecDeque<Secret>) {
    let secret = &resolved.secret;
    retired.retain(|old| old != secret);
    if !resolved.retired {
        return ops_log::redact(secret.expose());
    }
    retired.push_back(secret.clone());
    if retired.len() > MAX_RETIRED
        && let Some(oldest) = retired.pop_front()
    {
        ops_log::unredact(oldest.expose());
    }
}

/// Returns the state of each secret, without querying a source.
pub(crate) fn seen(secrets: &Secrets) -> Seen {
    let report = secrets.report().secrets.into_iter();
    let known = report.map(|secret| {
        let age = secret.last_error_age_seconds.unwrap_or(0);
        let is_needed = secret.is_stale || (secret.required && !secret.present);
        let is_over = !is_needed && age > OVER.as_secs();
        let error = secret.last_error.filter(|_| !is_over);
        SecretState {
            is_required: secret.required,
            is_present: secret.present,
            is_asked: !secret.not_asked_yet,
            is_default: secret.source == SecretSource::Default,
            is_sensitive: secret.has_plain_default,
            is_stale: secret.is_stale,
            age: secret.age_seconds,
            error: error.map(ErrorKind::as_str),
            failed_at: secret.last_error_source.map_or("", SecretSource::as_str),
            detail: secret.last_error_detail.unwrap_or_default(),
            name: secret.name,
            env_var: secret.env_var,
        }
    });
    Seen {
        known: known.collect(),
        stale_served: secrets.stats().stale_served,
    }
}
