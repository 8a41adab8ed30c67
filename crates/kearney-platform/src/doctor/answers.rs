use serde::Serialize;

use super::found::{Found, Severity};
use crate::output::redacted;

/// Result of the diagnosis: everything tried, and the findings.
#[derive(Debug, Serialize)]
pub(super) struct Diagnosis {
    /// Findings, causes first, each followed by its effects.
    pub(super) findings: Vec<Found>,
    pub(super) tried: Vec<Tried>,
    pub(super) took_ms: u64,
}

/// One check and its outcome.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Tried {
    pub(super) probe: &'static str,
    /// Request, path or name.
    pub(super) tried: String,
    pub(super) answer: String,
    pub(super) ok: bool,
}

/// Outcomes of one probe.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) findings: Vec<Found>,
    pub(super) tried: Vec<Tried>,
    /// State of the running process, as reported by its admin page.
    pub(super) state: Option<serde_json::Value>,
    /// Set unless an option named the admin page: the address in the data directory may be stale.
    pub(super) is_page_presumed: bool,
    pub(super) metrics: Option<String>,
    /// Last error in the tail of the log.
    pub(super) last_error: Option<String>,
}

impl Answers {
    /// Records a check and its outcome.
    pub(super) fn note(
        &mut self,
        probe: &'static str,
        tried: impl Into<String>,
        answer: impl Into<String>,
    ) {
        self.tried.push(Tried {
            probe,
            tried: tried.into(),
            answer: redacted(answer.into()),
            ok: true,
        });
    }

    /// Marks the last check as failed, for a cause that is already a finding.
    pub(super) fn blame(&mut self) {
        if let Some(last) = self.tried.last_mut() {
            last.ok = false;
        }
    }

    /// Adds findings to which the last check led.
    pub(super) fn find(&mut self, findings: impl IntoIterator<Item = Found>) {
        let Some(last) = self.tried.last_mut() else {
            return; // findings always follow a check
        };
        for finding in findings {
            last.ok &= finding.severity < Severity::Warning;
            self.findings.push(finding.after(&last.tried, &last.answer));
        }
    }
}
