use std::iter::successors;

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
    /// Determines the state: failing if the service is not ready or has a
    /// critical finding; degraded if a check is not ready or there is a warning.
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
        reasons.extend(titles(findings));
        Self { state, reasons }
    }
}

/// Returns the titles of the causes. A cause that is missing or only informational does
/// not stand for what it explains; of findings that explain each other, all are causes.
fn titles(findings: &[Finding]) -> Vec<String> {
    let wrong = findings.iter();
    let wrong: Vec<_> = wrong
        .filter(|finding| finding.severity > Severity::Info)
        .collect();
    let causes = wrong.iter().filter(|finding| {
        let cause = |of: &&Finding| cause_of(of, &wrong);
        // mutual causes lead back to themselves
        let is_in_cycle = || {
            let causes = successors(cause(finding), cause);
            let mut causes = causes.take(wrong.len());
            causes.any(|other| other.id == finding.id)
        };
        cause(finding).is_none() || is_in_cycle()
    });
    causes.map(|finding| finding.title.clone()).collect()
}

fn cause_of<'a>(finding: &Finding, all: &[&'a Finding]) -> Option<&'a Finding> {
    let cause = finding.explained_by.as_deref()?;
    all.iter().copied().find(|other| other.id == cause)
}
