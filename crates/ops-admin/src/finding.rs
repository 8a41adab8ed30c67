use serde::Serialize;

/// Severity of a [`Finding`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Severity {
    /// Worth knowing; no action is needed.
    Info,
    /// Something is worse than it should be, but users hardly notice.
    Warning,
    /// Users are affected.
    Critical,
}

impl Severity {
    /// Returns the name in JSON and texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Condition that an operator should know about, with its cause and the next step.
///
/// All texts are shown as plain text, whatever they contain. They must not contain secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// Name of the condition, the same each time: `collector_down`. Part of the page's address.
    pub id: String,
    /// Severity.
    pub severity: Severity,
    /// One line that names the condition.
    pub title: String,
    /// Measured values that led to it, with their units.
    pub seen: String,
    /// Start of the condition, in milliseconds since 1970-01-01 UTC.
    pub since: u64,
    /// Consequence for users or operators.
    pub means: String,
    /// Next step.
    pub action: String,
    /// Runbook: a URL, or a path in the repository.
    pub runbook: Option<String>,
    /// Affected method and route, as the page lists them: `GET /flights`.
    pub route: Option<String>,
    /// Id of a trace that shows it.
    pub trace_id: Option<String>,
    /// Id of the finding that is the cause of this one, which is then shown below it.
    pub explained_by: Option<String>,
}

impl Finding {
    /// Creates a finding that began at `since`, in milliseconds since 1970-01-01 UTC. Its other texts are empty.
    ///
    /// ```
    /// use ops_admin::{Finding, Severity};
    ///
    /// let finding = Finding::new("collector_down", Severity::Warning, "traces are not exported", 1_763_000_000_000)
    ///     .seen("12 exports failed in 60 s: connection refused")
    ///     .means("traces of this time are on this page only")
    ///     .action("start the collector, or unset OTEL_EXPORTER_OTLP_ENDPOINT")
    ///     .runbook("docs/runbooks/trace-export-down.md");
    /// assert_eq!(finding.explained_by, None);
    /// ```
    pub fn new(
        id: impl Into<String>,
        severity: Severity,
        title: impl Into<String>,
        since: u64,
    ) -> Self {
        Self {
            id: id.into(),
            severity,
            title: title.into(),
            seen: String::new(),
            since,
            means: String::new(),
            action: String::new(),
            runbook: None,
            route: None,
            trace_id: None,
            explained_by: None,
        }
    }

    /// Sets the measured values that led to it.
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

    /// Sets the runbook: a URL, or a path in the repository.
    #[must_use]
    pub fn runbook(mut self, runbook: impl Into<String>) -> Self {
        self.runbook = Some(runbook.into());
        self
    }

    /// Sets the affected method and route: `GET /flights`.
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

    /// Sets the finding that is the cause of this one.
    #[must_use]
    pub fn explained_by(mut self, id: impl Into<String>) -> Self {
        self.explained_by = Some(id.into());
        self
    }
}
