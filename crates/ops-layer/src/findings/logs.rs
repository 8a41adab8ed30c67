//! Rules about log lines.

use std::time::Duration;

use super::history::History;
use super::snapshot::Snapshot;
use super::{Finding, Severity};

const WINDOW: Duration = Duration::from_secs(60);
const RUNBOOK: &str = "log-lines-missing";

pub(super) fn not_writable(now: &Snapshot, _: &History) -> Option<Finding> {
    let (path, reason) = now.log.as_ref()?.problems.first()?;
    let mut finding = Finding::new("log_file_not_writable", Severity::Critical)
        .seen(format!("{path}: {reason}"))
        .means("Lines are on the terminal and the admin page only; after a crash they are gone.")
        .action("Make the directory writable for this user; the file is opened again by itself.");
    // 28 is ENOSPC: only then is a full disk the cause, which may be another one
    if reason.contains("(os error 28)") {
        finding = finding.explained_by("disk_full");
    }
    Some(finding.runbook(RUNBOOK))
}

pub(super) fn dropped(now: &Snapshot, history: &History) -> Option<Finding> {
    let before = history.since(now, WINDOW)?.log.as_ref()?;
    let log = now.log.as_ref()?;
    let dropped = log.dropped.saturating_sub(before.dropped);
    let written = log.written.saturating_sub(before.written);
    (dropped > 0).then(|| {
        Finding::new("log_lines_dropped", Severity::Warning)
            .seen(format!(
                "{dropped} lines were not taken by every output in the last minute, {written} were"
            ))
            .means("The log is incomplete.")
            .action(
                "Find the output that stalls or fails: `log_output_failed` and `log_lines_lost` name it.",
            )
            .runbook(RUNBOOK)
    })
}
