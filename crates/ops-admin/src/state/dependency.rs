use serde::Serialize;

use crate::Check;

/// Something that the service needs or uses, as far as it is known without asking it.
#[derive(Debug, Serialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `up`, `degraded`, `down`, `off` or `unknown`.
    pub(crate) state: &'static str,
    pub(crate) detail: String,
}

impl Dependency {
    /// From a check of readiness.
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
