use serde::Serialize;

/// One condition of readiness, as the page shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Name of the check.
    pub name: String,
    /// State: `ready`, `degraded` or `failed`.
    pub state: &'static str,
    /// Reason of a state other than `ready`.
    pub reason: Option<String>,
}
