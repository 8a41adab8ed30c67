use std::fmt;
use std::time::SystemTime;

/// Urgency of a finding. The order is that of the variants: `Info < Warning < Critical`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Severity {
    /// Worth knowing; no action is needed.
    Info,
    /// Something is lost or about to fail.
    Warning,
    /// Requests fail or data is lost, now or soon.
    Critical,
}

impl Severity {
    /// Every severity.
    pub const ALL: &'static [Self] = &[Self::Info, Self::Warning, Self::Critical];

    /// Returns the name in lines, metrics and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Detected problem: what was seen, what it means, what to do.
///
/// Built like [`Finding::new`]`("queue_growing", Severity::Warning).seen("40 jobs wait").action("add a worker")`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// Name of the rule, such as `disk_full`; it does not change while the finding stands.
    pub id: &'static str,
    /// Urgency.
    pub severity: Severity,
    /// Start; in JSON, seconds since 1970.
    #[serde(serialize_with = "as_seconds")]
    pub since: SystemTime,
    /// Observation, with its numbers.
    pub seen: String,
    /// Consequence for users and operators.
    pub means: String,
    /// Next step.
    pub action: String,
    /// Page below `docs/runbooks/`, without its extension.
    pub runbook: Option<&'static str>,
    /// Affected method and route, as the admin page lists them: `GET /flights`.
    pub route: Option<String>,
    /// Id of a trace that shows it.
    pub trace_id: Option<String>,
    /// Finding that is the cause of this one and precedes it.
    pub explained_by: Option<&'static str>,
    /// The affected requests waited for no query, so the database is not the cause.
    #[serde(skip)]
    pub(crate) without_queries: bool,
    /// Most of the affected requests have other routes, so that what affects this route is not their cause.
    #[serde(skip)]
    pub(crate) has_other_routes: bool,
}

impl Finding {
    /// Creates a finding that begins now.
    pub fn new(id: &'static str, severity: Severity) -> Self {
        Self {
            id,
            severity,
            since: SystemTime::now(),
            seen: String::new(),
            means: String::new(),
            action: String::new(),
            runbook: None,
            route: None,
            trace_id: None,
            explained_by: None,
            without_queries: false,
            has_other_routes: false,
        }
    }

    /// Sets the observation.
    #[must_use]
    pub fn seen(mut self, seen: impl Into<String>) -> Self {
        self.seen = seen.into();
        self
    }

    /// Sets the consequence.
    #[must_use]
    pub fn means(mut self, means: impl Into<String>) -> Self {
        self.means = means.into();
        self
    }

    /// Sets the next step.
    #[must_use]
    pub fn action(mut self, action: impl Into<String>) -> Self {
        self.action = action.into();
        self
    }

    /// Sets the page below `docs/runbooks/`, without its extension.
    #[must_use]
    pub fn runbook(mut self, runbook: &'static str) -> Self {
        self.runbook = Some(runbook);
        self
    }

    /// Sets the affected method and route: `GET /flights`. Unless a trace is set
    /// too, the admin page links one of its failed requests, if one is kept.
    #[must_use]
    pub fn route(mut self, route: impl Into<String>) -> Self {
        self.route = Some(route.into());
        self
    }

    /// Sets a trace that shows it.
    #[must_use]
    pub fn trace_id(mut self, trace_id: impl Into<String>) -> Self {
        self.trace_id = Some(trace_id.into());
        self
    }

    /// Sets the start, if the rule knows it better than the time of its first result.
    #[must_use]
    pub fn since(mut self, since: SystemTime) -> Self {
        self.since = since;
        self
    }

    /// Sets the cause. It applies while that finding stands.
    #[must_use]
    pub fn explained_by(mut self, cause: &'static str) -> Self {
        self.explained_by = Some(cause);
        self
    }
}

fn as_seconds<S: serde::Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    serializer.serialize_u64(since.map_or(0, |since| since.as_secs()))
}
