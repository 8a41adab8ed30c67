//! Logins: credentials from the caller's function, kept until the server refuses them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::fault::Fault;

pub(super) type CredentialFn = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// Kind of login.
#[derive(Clone)]
pub(super) enum Login {
    None,
    Bearer {
        principal: String,
        token: CredentialFn,
    },
    Basic {
        user: String,
        password: CredentialFn,
    },
}

impl Login {
    pub(super) fn bearer(principal: String, token: CredentialFn) -> Self {
        Self::Bearer { principal, token }
    }

    pub(super) fn basic(user: String, password: CredentialFn) -> Self {
        Self::Basic { user, password }
    }

    /// Returns kind and name of the principal.
    pub(super) fn principal(&self) -> (&'static str, &str) {
        match self {
            Self::None => ("none", ""),
            Self::Bearer { principal, .. } => ("bearer", principal),
            Self::Basic { user, .. } => ("basic", user),
        }
    }
}

/// An `authorization` header, and the secrets in it.
#[derive(Clone, Default)]
pub(super) struct Credential {
    pub(super) header: Option<String>,
    pub(super) secrets: Vec<String>,
    /// Number of this login; later logins have higher numbers.
    pub(super) number: u64,
}

/// Calls the caller's function, on a thread that may block.
pub(super) async fn call_credential_fn(
    function: &CredentialFn,
    what: &'static str,
) -> Result<String, Fault> {
    let function = function.clone();
    let returned =
        tokio::task::spawn_blocking(move || catch_unwind(AssertUnwindSafe(|| function()))).await;
    match returned {
        Ok(Ok(Ok(secret))) => {
            let secret = secret.trim().to_owned();
            match secret.is_empty() {
                true => Err(Fault::unavailable(format!("the {what} is empty"))),
                false => Ok(secret),
            }
        }
        Ok(Ok(Err(error))) => Err(Fault::unavailable(format!(
            "cannot get the {what}: {error}"
        ))),
        Ok(Err(_)) | Err(_) => Err(Fault::unavailable(format!(
            "the function that returns the {what} panicked"
        ))),
    }
}
