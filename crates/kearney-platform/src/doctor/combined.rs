//! Findings derived from the outcomes of several probes.

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::answers::{Answers, Tried};
use super::collector;
use super::data::{DIR_IS_ABSENT, LOCK_IS_ABSENT, LOCK_IS_FREE, LOCK_IS_HELD};
use super::found::{Found, Severity};

/// Returns the findings, adjusted by the outcomes of the other probes.
pub(super) fn adjusted_findings(answers: &Answers) -> Vec<Found> {
    let mut findings = answers.findings.clone();
    if exports_arrive(answers.state.as_ref()) {
        for finding in &mut findings {
            if finding.tried.starts_with(collector::CHECK_PREFIX) {
                own_settings(finding);
            }
        }
    }
    let is_lock = |answer| answers.tried.iter().any(|tried| tried.answer == answer);
    let is_gone = is_lock(DIR_IS_ABSENT);
    let lock = match (is_lock(LOCK_IS_FREE), is_gone || is_lock(LOCK_IS_ABSENT)) {
        (true, _) => Some("free"),
        (false, true) => Some("absent"),
        (false, false) => None,
    };
    // a platform that lost its directory holds a lock that cannot be found here
    let is_lost = findings.iter().any(|f| f.id == "data_dir_lost");
    let is_doubted = answers.is_page_presumed && !is_lost;
    if let (Some(state), Some(lock), true) = (&answers.state, lock, is_doubted) {
        findings.insert(0, another_platform(state, lock, answers));
    }
    let stopped = findings.iter_mut().find(|f| f.id == "process_not_running");
    let Some(finding) = stopped else {
        return findings;
    };
    if is_lock(LOCK_IS_HELD) {
        "A platform holds the data directory: its admin page is off or at another address, or it is still starting."
            .clone_into(&mut finding.means);
        "Run this command again once it is ready, or set its admin address with --admin; the log line `listening` shows it."
            .clone_into(&mut finding.action);
    } else if is_gone {
        "The data directory does not exist. A platform that was serving from it when it was moved or removed keeps running, but its admin page cannot be found."
            .clone_into(&mut finding.means);
        "If the directory is correct, look for the process (`pgrep kearney-platform`) and set its admin address with --admin; if there is no process, start it."
            .clone_into(&mut finding.action);
    } else if let Some(lock) = lock {
        finding.means =
            format!("No platform is running with this data directory: its lock is {lock}.");
        // if there is no lock, the log may belong to another directory
        if let (Some(error), "free") = (&answers.last_error, lock) {
            finding.seen = format!("{}; the last error in its log: {error}", finding.seen);
            "If the last error is why it stopped, fix that first; then start it."
                .clone_into(&mut finding.action);
        }
    }
    findings
}

/// Returns the finding that the page at the default address belongs to another data directory.
fn another_platform(state: &Value, lock: &str, answers: &Answers) -> Found {
    let text = |key: &str| state.get(key).and_then(Value::as_str);
    let is_page = |tried: &&Tried| tried.tried.ends_with("/api/state");
    let page = answers.tried.iter().find(is_page);
    let (tried, answer) = page.map_or(("", ""), |page| (&page.tried, &page.answer));
    let mut seen = format!(
        "the page belongs to {}, started {}; the lock of the data directory is {lock}",
        text("service").unwrap_or("another service"),
        start_of(state).unwrap_or_else(|| "at an unknown time".to_owned()),
    );
    if let (Some(error), "free") = (&answers.last_error, lock) {
        seen += &format!("; the last error in its log: {error}");
    }
    // an unused directory: its name may be wrong, or the platform uses a directory that is not visible here
    let (severity, means, action) = match lock {
        "absent" => (
            Severity::Warning,
            "No platform has served from this data directory; the page may belong to another one.",
            "Set the right directory with --data-dir, or the admin address with --admin.",
        ),
        _ => (
            Severity::Critical,
            "No platform is running with this data directory. The page describes another process.",
            "Start the platform; to examine the other one, set its admin address with --admin or its directory with --data-dir.",
        ),
    };
    Found::new("another_platform_answers", severity)
        .seen(seen)
        .means(means)
        .action(action)
        .after(tried, answer)
}

/// Returns the start time of the page's process.
fn start_of(state: &Value) -> Option<String> {
    let seconds = state.get("process_start")?.as_i64()? / 1000;
    let start = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    start.format(&Rfc3339).ok()
}

/// Returns `true` if the running platform exports spans successfully.
fn exports_arrive(state: Option<&Value>) -> bool {
    let dependencies = state.and_then(|state| state.get("dependencies")?.as_array());
    dependencies.into_iter().flatten().any(|dependency| {
        let is = |key: &str, value| dependency.get(key).and_then(Value::as_str) == Some(value);
        is("name", "trace collector") && is("state", "up")
    })
}

/// Turns a finding into one about this shell, whose variables differ from those of the platform.
fn own_settings(finding: &mut Found) {
    finding.severity = Severity::Info;
    "collector_of_this_shell".clone_into(&mut finding.id);
    "The platform's own exports succeed. This command used the OTEL_* variables of this shell, which differ."
        .clone_into(&mut finding.means);
    "To check the platform's collector, export its OTEL_* variables in this shell. The platform itself needs no change."
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
        let found = adjusted_findings(&answers("up"));
        assert_eq!(found[0].id, "collector_of_this_shell");
        assert_eq!(found[0].severity, Severity::Info);
        for state in ["down", "unknown", "off"] {
            let found = adjusted_findings(&answers(state));
            assert_eq!(found[0].id, "collector_unreachable", "{state}");
        }
    }

    #[test]
    fn a_platform_that_ended_is_explained_by_the_end_of_its_log() {
        let mut answers = Answers::default();
        answers.note("process", "GET http://127.0.0.1:1/api/state", "refused");
        answers.find([Found::new("process_not_running", Severity::Critical).seen("refused")]);
        answers.last_error = Some("start_failed error=damaged".to_owned());
        assert_eq!(
            adjusted_findings(&answers)[0].seen,
            "refused",
            "it may run elsewhere"
        );
        answers.note("data", "lock .lock", LOCK_IS_FREE);
        let found = adjusted_findings(&answers);
        assert!(
            found[0].seen.ends_with("start_failed error=damaged"),
            "{found:?}"
        );
    }

    #[test]
    fn a_presumed_page_without_a_platform_in_the_directory_is_another_platform() {
        let mut answers = Answers::default();
        answers.note("process", "GET http://127.0.0.1:8001/api/state", "200");
        answers.find([Found::new("secrets_degraded", Severity::Critical)]);
        answers.state =
            Some(json!({ "service": "orders", "process_start": 1_763_000_000_000_u64 }));
        answers.note("data", "lock .lock", LOCK_IS_FREE);
        assert_eq!(
            adjusted_findings(&answers)[0].id,
            "secrets_degraded",
            "it was named"
        );
        answers.is_page_presumed = true;
        let found = adjusted_findings(&answers);
        assert_eq!(found[0].id, "another_platform_answers");
        let seen = &found[0].seen;
        assert!(
            seen.contains("orders, started 2025-11-13T02:13:20Z"),
            "{seen}"
        );
    }

    #[test]
    fn a_platform_that_holds_its_directory_is_not_dead() {
        let mut answers = Answers::default();
        answers.note("process", "GET http://127.0.0.1:1/api/state", "refused");
        answers.find([Found::new("process_not_running", Severity::Critical).seen("refused")]);
        answers.last_error = Some("of its last run".to_owned());
        answers.note("data", "lock .lock", LOCK_IS_HELD);
        let found = adjusted_findings(&answers);
        assert!(found[0].means.starts_with("A platform holds"), "{found:?}");
        assert_eq!(found[0].seen, "refused");
    }
}
