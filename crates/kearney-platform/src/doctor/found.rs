use serde::{Deserialize, Serialize};

/// Urgency of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    Info,
    Warning,
    Critical,
}

/// A finding, with the check that led to it and its outcome.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Found {
    pub(super) id: String,
    pub(super) severity: Severity,
    pub(super) seen: String,
    pub(super) means: String,
    pub(super) action: String,
    #[serde(default)]
    pub(super) runbook: Option<String>,
    #[serde(default)]
    pub(super) explained_by: Option<String>,
    /// Start in milliseconds since 1970; known only to the running platform.
    #[serde(default)]
    pub(super) since: Option<u64>,
    #[serde(default)]
    pub(super) tried: String,
    #[serde(default)]
    pub(super) answer: String,
}

impl Found {
    pub(super) fn new(id: &str, severity: Severity) -> Self {
        Self {
            id: id.to_owned(),
            severity,
            seen: String::new(),
            means: String::new(),
            action: String::new(),
            runbook: None,
            explained_by: None,
            since: None,
            tried: String::new(),
            answer: String::new(),
        }
    }

    pub(super) fn seen(mut self, seen: impl Into<String>) -> Self {
        self.seen = seen.into();
        self
    }

    pub(super) fn means(mut self, means: impl Into<String>) -> Self {
        self.means = means.into();
        self
    }

    pub(super) fn action(mut self, action: impl Into<String>) -> Self {
        self.action = action.into();
        self
    }

    pub(super) fn runbook(mut self, page: &str) -> Self {
        self.runbook = Some(format!("docs/runbooks/{page}.md"));
        self
    }

    pub(super) fn explained_by(mut self, cause: &str) -> Self {
        self.explained_by = Some(cause.to_owned());
        self
    }

    /// Records the check and its outcome.
    pub(super) fn after(mut self, tried: &str, answer: &str) -> Self {
        tried.clone_into(&mut self.tried);
        answer.clone_into(&mut self.answer);
        self
    }
}

impl From<ops_layer::Finding> for Found {
    fn from(finding: ops_layer::Finding) -> Self {
        let severity = match finding.severity {
            ops_layer::Severity::Critical => Severity::Critical,
            ops_layer::Severity::Info => Severity::Info,
            _ => Severity::Warning,
        };
        Self {
            runbook: finding
                .runbook
                .map(|page| format!("docs/runbooks/{page}.md")),
            explained_by: finding.explained_by.map(str::to_owned),
            ..Self::new(finding.id, severity)
                .seen(finding.seen)
                .means(finding.means)
                .action(finding.action)
        }
    }
}

/// Merges findings with the same id and sorts them: the most severe causes first, each followed by its effects.
pub(super) fn ordered(all: Vec<Found>) -> Vec<Found> {
    let mut merged: Vec<Found> = Vec::new();
    for finding in all {
        match merged.iter_mut().find(|known| known.id == finding.id) {
            // the finding of the running platform has precedence and a start; a probe adds its own check
            Some(known) => {
                known.severity = known.severity.max(finding.severity);
                if known.tried.starts_with("GET ") && !finding.tried.is_empty() {
                    (known.tried, known.answer) = (finding.tried, finding.answer);
                }
            }
            None => merged.push(finding),
        }
    }
    let ids: Vec<_> = merged.iter().map(|finding| finding.id.clone()).collect();
    for finding in &mut merged {
        let cause = finding.explained_by.take();
        finding.explained_by = cause.filter(|cause| *cause != finding.id && ids.contains(cause));
    }
    merged.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let mut sorted = Vec::with_capacity(merged.len());
    while !merged.is_empty() {
        let is_root = |finding: &Found| finding.explained_by.is_none();
        let root = merged.iter().position(is_root).unwrap_or_default();
        let mut root = merged.remove(root);
        root.explained_by = None;
        take(root, &mut merged, &mut sorted);
    }
    sorted
}

fn take(finding: Found, rest: &mut Vec<Found>, sorted: &mut Vec<Found>) {
    let id = finding.id.clone();
    sorted.push(finding);
    let is_explained = |other: &Found| other.explained_by.as_ref() == Some(&id);
    while let Some(at) = rest.iter().position(is_explained) {
        let explained = rest.remove(at);
        take(explained, rest, sorted);
    }
}
