use serde::Serialize;

use crate::Check;

/// Dependency of the service, as known without querying it.
#[derive(Debug, Serialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `up`, `degraded`, `down`, `off` or `unknown`.
    pub(crate) state: &'static str,
    pub(crate) detail: String,
}

impl Dependency {
    /// Creates the dependency of a readiness check.
    pub(super) fn checked(check: &Check) -> Self {
        Self {
            name: check.name.clone(),
            state: match check.state {
                "ready" => "up",
                "failed" => "down",
                other => other,
            },
            detail: check.reason.clone().unwrap_or_default(),
        }
    }
}
