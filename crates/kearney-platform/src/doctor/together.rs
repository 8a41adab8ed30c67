//! Findings that follow from the answers of several probes.

use serde_json::Value;

use super::answers::Answers;
use super::collector;
use super::data::LOCK_IS_FREE;
use super::found::{Found, Severity};

/// Returns the findings, each seen in the light of what the other probes were answered.
pub(super) fn judged(answers: &Answers) -> Vec<Found> {
    let mut findings = answers.findings.clone();
    if exports_arrive(answers.state.as_ref()) {
        for finding in &mut findings {
            if finding.tried.starts_with(collector::QUESTION) {
                own_settings(finding);
            }
        }
    }
    let is_free = answers
        .tried
        .iter()
        .any(|tried| tried.answer == LOCK_IS_FREE);
    let stopped = findings.iter_mut().find(|f| f.id == "process_not_running");
    if let (Some(finding), true) = (stopped, is_free) {
        "No platform runs with this data directory: its lock is free."
            .clone_into(&mut finding.means);
        if let Some(error) = &answers.last_error {
            finding.seen = format!("{}; the last error in its log: {error}", finding.seen);
            "If the last error is why it ended, fix that first; then start it."
                .clone_into(&mut finding.action);
        }
    }
    findings
}

/// The running platform exports without trouble.
fn exports_arrive(state: Option<&Value>) -> bool {
    let dependencies = state.and_then(|state| state.get("dependencies")?.as_array());
    dependencies.into_iter().flatten().any(|dependency| {
        let is = |key: &str, value| dependency.get(key).and_then(Value::as_str) == Some(value);
        is("name", "trace collector") && is("state", "up")
    })
}

/// A finding of the probe alone: this command's variables are not those of the platform.
fn own_settings(finding: &mut Found) {
    finding.severity = Severity::Info;
    "collector_of_this_shell".clone_into(&mut finding.id);
    "The platform's own exports arrive. This command asked with the OTEL_* variables of this shell, which differ."
        .clone_into(&mut finding.means);
    "Nothing for the platform. Export its OTEL_* variables here to ask its collector."
        .clone_into(&mut finding.action);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answers(state: &str) -> Answers {
        let mut answers = Answers::default();
        answers.note(
            "collector",
            "POST http://localhost:4318 with one span",
            "refused",
        );
        answers.find([Found::new("collector_unreachable", Severity::Warning)]);
        let dependencies = json!([{ "name": "trace collector", "state": state, "detail": "" }]);
        answers.state = Some(json!({ "dependencies": dependencies }));
        answers
    }

    #[test]
    fn a_shell_without_the_variables_of_the_platform_raises_no_alarm() {
        let found = judged(&answers("up"));
        assert_eq!(found[0].id, "collector_of_this_shell");
        assert_eq!(found[0].severity, Severity::Info);
        for state in ["down", "unknown", "off"] {
            let found = judged(&answers(state));
            assert_eq!(found[0].id, "collector_unreachable", "{state}");
        }
    }

    #[test]
    fn a_platform_that_ended_is_explained_by_the_end_of_its_log() {
        let mut answers = Answers::default();
        answers.note("process", "GET http://127.0.0.1:1/api/state", "refused");
        answers.find([Found::new("process_not_running", Severity::Critical).seen("refused")]);
        answers.last_error = Some("start_failed error=damaged".to_owned());
        assert_eq!(judged(&answers)[0].seen, "refused", "it may run elsewhere");
        answers.note("data", "lock .lock", LOCK_IS_FREE);
        let found = judged(&answers);
        assert!(
            found[0].seen.ends_with("start_failed error=damaged"),
            "{found:?}"
        );
    }
}
