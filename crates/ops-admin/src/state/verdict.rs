use serde::Serialize;

use crate::{Check, Finding, Severity};

/// State of the service in one word, and the reasons for it.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    /// `ok`, `degraded` or `failing`.
    pub(crate) state: &'static str,
    pub(crate) reasons: Vec<String>,
}

impl Verdict {
    /// Failing is a service that is not ready or has a critical finding; degraded, one with a check or a finding of less weight.
    pub(super) fn new(
        not_ready: Option<&str>,
        checks: &[Check],
        findings: Option<&[Finding]>,
    ) -> Self {
        let findings = findings.unwrap_or_default();
        let worst = findings.iter().map(|finding| finding.severity).max();
        let degraded: Vec<_> = checks
            .iter()
            .filter(|check| check.state != "ready")
            .collect();
        let state = match worst {
            _ if not_ready.is_some() => "failing",
            Some(Severity::Critical) => "failing",
            Some(Severity::Warning) => "degraded",
            _ if !degraded.is_empty() => "degraded",
            _ => "ok",
        };
        let mut reasons: Vec<String> = not_ready.map(str::to_owned).into_iter().collect();
        if not_ready.is_none() {
            reasons.extend(degraded.iter().map(|check| {
                let reason = check.reason.as_deref().unwrap_or(check.state);
                format!("{}: {reason}", check.name)
            }));
        }
        let causes = findings
            .iter()
            .filter(|finding| finding.explained_by.is_none() && finding.severity > Severity::Info);
        reasons.extend(causes.map(|finding| finding.title.clone()));
        Self { state, reasons }
    }
}
