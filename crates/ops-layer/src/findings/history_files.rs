//! Rules about the history of lines, spans and metrics in files.

use super::history::{History, WINDOW};
use super::snapshot::Snapshot;
use super::{Finding, Severity, disk};

const RUNBOOK: &str = "history-incomplete";

pub(super) fn stopped(now: &Snapshot, _: &History) -> Option<Finding> {
    let why = now.history.as_ref()?.stopped.as_ref()?;
    let first = match why.contains("another process") {
        true => "End the other process that writes there",
        false if disk::is_full(why) => "Free space",
        false => "Correct what the reason names",
    };
    let finding = Finding::new("history_stopped", Severity::Warning)
        .seen(why)
        .means("Lines, spans and metrics of now are not in the history. Nothing else is harmed.")
        .action(format!(
            "{first}: it goes on by itself within a minute. With another OPS_HISTORY_DIR, or if it could not start, restart the service."
        ));
    Some(finding.runbook(RUNBOOK))
}

pub(super) fn untidy(now: &Snapshot, _: &History) -> Option<Finding> {
    let why = now.history.as_ref()?.untidy.as_ref()?;
    let finding = Finding::new("history_untidy", Severity::Warning)
        .seen(why)
        .means("Files of the history are neither merged nor removed: it needs more and more space. All is written, and no line is missing.")
        .action("Free space, or let the service write to the directory and remove its files: it tries again each minute.");
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
            .means("The history is incomplete; the log itself is not. Requests do not wait for it.")
            .action(
                "The processor or the disk is too slow for so much: write fewer lines (OPS_LOG_LEVEL), sample fewer traces, or take \
                 a faster disk.",
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
            .seen(format!("{count} files of the history cannot be read: {first}"))
            .means("Their rows are missing in answers. The other files are not harmed.")
            .action("Move the files away, then restart: they were damaged on the disk, or come from something else.")
            .runbook(RUNBOOK),
    )
}
