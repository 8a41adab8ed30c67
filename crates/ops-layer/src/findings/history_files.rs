//! Rules about the history of lines, spans and metrics in files.

use super::history::{History, WINDOW};
use super::snapshot::Snapshot;
use super::{Finding, Severity, disk};

const RUNBOOK: &str = "history-incomplete";

pub(super) fn stopped(now: &Snapshot, _: &History) -> Option<Finding> {
    let why = now.history.as_ref()?.stopped.as_ref()?;
    let first = match why.contains("another process") {
        true => "Stop the other process that writes there",
        false if disk::is_full(why) => "Free disk space",
        false => "Fix the reported cause",
    };
    let finding = Finding::new("history_stopped", Severity::Warning)
        .seen(why)
        .means("New log lines, spans and metrics are not recorded in the history. Nothing else is affected.")
        .action(format!(
            "{first}: writing resumes automatically within a minute. After a change of OPS_HISTORY_DIR, or if the history could not start, restart the service."
        ));
    Some(finding.runbook(RUNBOOK))
}

pub(super) fn untidy(now: &Snapshot, _: &History) -> Option<Finding> {
    let why = now.history.as_ref()?.untidy.as_ref()?;
    let finding = Finding::new("history_untidy", Severity::Warning)
        .seen(why)
        .means("History files are neither merged nor removed, so the history keeps growing. Writing continues, and no line is missing.")
        .action("Free disk space, or allow the service to write to the directory and remove its files: it retries every minute.");
    Some(finding.runbook(RUNBOOK))
}

pub(super) fn dropping(now: &Snapshot, history: &History) -> Option<Finding> {
    let before = history.since(now, WINDOW)?.history.as_ref()?;
    let current = now.history.as_ref()?;
    let dropped = current.dropped.saturating_sub(before.dropped);
    let written = current.written.saturating_sub(before.written);
    (dropped > 0).then(|| {
        Finding::new("history_dropping", Severity::Warning)
            .seen(format!(
                "{dropped} lines, spans and samples were dropped in the last minute, {written} were written"
            ))
            .means("The history is incomplete; the log itself is not affected. Requests are not delayed.")
            .action(
                "Log fewer lines (OPS_LOG_LEVEL), sample fewer traces, or use a faster disk: the processor or the disk is too slow for \
                 this volume.",
            )
            .runbook(RUNBOOK)
    })
}

pub(super) fn unreadable(now: &Snapshot, _: &History) -> Option<Finding> {
    let files = &now.history.as_ref()?.unreadable;
    let first = files.first()?;
    let count = files.len();
    Some(
        Finding::new("history_files_unreadable", Severity::Warning)
            .seen(format!("{count} history files cannot be read: {first}"))
            .means("Their rows are missing from query results. Other files are not affected.")
            .action("Move the files elsewhere, then restart: they are damaged, or were written by another program.")
            .runbook(RUNBOOK),
    )
}
