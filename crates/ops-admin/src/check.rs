use serde::Serialize;

/// Known readiness: the reason why the service is not ready, and each check.
pub(crate) type Readiness = (Option<String>, Vec<Check>);

/// Condition of readiness, as the page shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Name of the check.
    pub name: String,
    /// State: `ready`, `degraded`, `failed`, or `unknown` if the last result is outdated.
    pub state: &'static str,
    /// Reason of a state other than `ready`.
    pub reason: Option<String>,
}
