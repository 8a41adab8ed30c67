use serde::Serialize;

use super::found::{Found, Severity};
use crate::output::redacted;

/// Everything that was tried, and what is wrong.
#[derive(Debug, Serialize)]
pub(super) struct Diagnosis {
    /// Causes first, each followed by what it explains.
    pub(super) findings: Vec<Found>,
    pub(super) tried: Vec<Tried>,
    pub(super) took_ms: u64,
}

/// One question and its answer.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Tried {
    pub(super) probe: &'static str,
    /// Request, path or name.
    pub(super) tried: String,
    pub(super) answer: String,
    pub(super) ok: bool,
}

/// Answers of one probe.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) findings: Vec<Found>,
    pub(super) tried: Vec<Tried>,
    /// State of the running process, as its admin page has it.
    pub(super) state: Option<serde_json::Value>,
    /// `true` unless an option named the admin page: what the data directory says may be old.
    pub(super) is_page_presumed: bool,
    pub(super) metrics: Option<String>,
    /// Line of the last error, near the end of the log.
    pub(super) last_error: Option<String>,
}

impl Answers {
    /// Notes a question, and what is wrong with the answer.
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

    /// Marks the last question as failed by a cause that is a finding already.
    pub(super) fn blame(&mut self) {
        if let Some(last) = self.tried.last_mut() {
            last.ok = false;
        }
    }

    /// Notes findings that the last question led to.
    pub(super) fn find(&mut self, findings: impl IntoIterator<Item = Found>) {
        let Some(last) = self.tried.last_mut() else {
            return; // a question comes first
        };
        for finding in findings {
            last.ok &= finding.severity < Severity::Warning;
            self.findings.push(finding.after(&last.tried, &last.answer));
        }
    }
}
