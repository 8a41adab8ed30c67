//! The process's resolver.

use std::sync::OnceLock;

use crate::resolver::get::Get;
use crate::resolver::secrets::Secrets;
use crate::{Config, SecretError, SecretSource};

static GLOBAL: OnceLock<Secrets> = OnceLock::new();

/// Returns the process's resolver: the one given to [`init`], else one configured by the environment at the first use.
///
/// # Errors
/// Fails if the configuration by the environment is wrong. The next call tries again.
pub fn global() -> Result<&'static Secrets, SecretError> {
    if let Some(secrets) = GLOBAL.get() {
        return Ok(secrets);
    }
    let secrets = Secrets::from_env()?;
    Ok(GLOBAL.get_or_init(|| secrets))
}

/// Makes the process's resolver.
///
/// # Errors
/// Fails if the configuration is wrong, or the process has a resolver already.
pub fn init(config: Config) -> Result<&'static Secrets, SecretError> {
    let secrets = Secrets::new(config)?;
    if GLOBAL.set(secrets).is_err() {
        return Err(SecretError::config(
            "the process already has a resolver: call init before the first get_secret",
        ));
    }
    global()
}

/// Asks the process's resolver for a secret: `get_secret("NAME").await`, or `.blocking()` in sync code.
pub fn get_secret(name: &str) -> Get<'_> {
    Get::new(global(), name)
}

/// Asks the process's resolver for the source of a secret. In sync code: `get_secret("NAME").source_blocking()`.
///
/// Without I/O if the answer is at hand; else it looks the secret up as [`get_secret`] does.
///
/// # Errors
/// Fails if a source fails.
pub async fn get_secret_source(name: &str) -> Result<SecretSource, SecretError> {
    get_secret(name).source().await
}
