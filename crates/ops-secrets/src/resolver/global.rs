//! Resolver of the process.

use std::sync::OnceLock;

use crate::resolver::get::Get;
use crate::resolver::secrets::Secrets;
use crate::{Config, SecretError, SecretSource};

static GLOBAL: OnceLock<Secrets> = OnceLock::new();

/// Returns the process's resolver: the one passed to [`init`],
/// otherwise one configured from the environment on first use.
///
/// # Errors
/// Fails if the configuration from the environment is invalid. The next call tries again.
pub fn global() -> Result<&'static Secrets, SecretError> {
    if let Some(secrets) = GLOBAL.get() {
        return Ok(secrets);
    }
    let secrets = Secrets::from_env()?;
    Ok(GLOBAL.get_or_init(|| secrets))
}

/// Creates the process's resolver.
///
/// # Errors
/// Fails if the configuration is invalid, or the process already has a resolver.
pub fn init(config: Config) -> Result<&'static Secrets, SecretError> {
    let secrets = Secrets::new(config)?;
    if GLOBAL.set(secrets).is_err() {
        return Err(SecretError::config(
            "the process already has a resolver: call init before the first get_secret",
        ));
    }
    global()
}

/// Requests a secret from the process's resolver: `get_secret("NAME").await`, or `.blocking()` in sync code.
pub fn get_secret(name: &str) -> Get<'_> {
    Get::new(global(), name)
}

/// Returns the source of a secret, from the process's resolver. In sync code: `get_secret("NAME").source_blocking()`.
///
/// Does no I/O if the source is already known; otherwise looks the secret up as [`get_secret`] does.
///
/// # Errors
/// Fails if a source fails.
pub async fn get_secret_source(name: &str) -> Result<SecretSource, SecretError> {
    get_secret(name).source().await
}
