use std::sync::OnceLock;

use crate::{Config, Get, SecretError, SecretSource, Secrets};

static GLOBAL: OnceLock<Result<Secrets, SecretError>> = OnceLock::new();

/// The process's resolver: the one given to [`init`], else one configured by the environment at the first use.
pub fn global() -> Result<&'static Secrets, SecretError> {
    GLOBAL
        .get_or_init(Secrets::from_env)
        .as_ref()
        .map_err(Clone::clone)
}

/// Makes the process's resolver. An error if there is one already.
pub fn init(config: Config) -> Result<&'static Secrets, SecretError> {
    let secrets = Secrets::new(config)?;
    if GLOBAL.set(Ok(secrets)).is_err() {
        return Err(SecretError::config(
            "the process has its resolver already: call init before the first get_secret",
        ));
    }
    global()
}

/// Asks the process's resolver for a secret: `get_secret("NAME").await`, or `.blocking()` in sync code.
pub fn get_secret(name: &str) -> Get<'_> {
    Get::new(global(), name)
}

/// Where a secret comes from, asked of the process's resolver. In sync code: `get_secret("NAME").source_blocking()`.
///
/// Without I/O when the answer is at hand; else it looks the secret up as [`get_secret`] does.
pub async fn get_secret_source(name: &str) -> Result<SecretSource, SecretError> {
    get_secret(name).source().await
}
