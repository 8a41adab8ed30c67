//! Rules about log lines.

use super::history::{History, NO_CAUSE, SETTLED, WINDOW};
use super::snapshot::Snapshot;
use super::{Finding, Severity, disk};

/// Outputs that another process reads.
const STREAMS: [&str; 2] = ["stdout", "stderr"];
/// Appended to the observation if nothing shows whether it still holds.
const NOT_TRIED: &str = "; no line was logged for a minute, so the write was not retried";
const RUNBOOK: &str = "log-lines-missing";

pub(super) fn not_writable(now: &Snapshot, history: &History) -> Option<Finding> {
    let (path, reason) = now.log.as_ref()?.problems.first()?;
    let sent = |of: &Snapshot| {
        let log = of.log.as_ref()?;
        Some(log.written + log.dropped)
    };
    let before = history.before(now, WINDOW);
    let not_tried = match before.is_some_and(|before| sent(before) == sent(now)) {
        true => NOT_TRIED,
        false => "",
    };
    let action = match reason.contains("(os error 13)") {
        true => {
            "Make the directory writable for this user; the file is reopened with the next line."
        }
        false if disk::is_full(reason) => {
            "Free disk space there; writing resumes with the next line."
        }
        false => "Fix the reported cause; the file is reopened with the next line.",
    };
    Some(
        Finding::new("log_file_not_writable", Severity::Critical)
            .seen(format!("{path}: {reason}{not_tried}"))
            .means("Lines are on the terminal and the admin page only and are lost in a crash.")
            .action(action)
            .runbook(RUNBOOK),
    )
}

pub(super) fn dropped(now: &Snapshot, history: &History) -> Option<Finding> {
    let before = history.since(now, WINDOW)?.log.as_ref()?;
    let log = now.log.as_ref()?;
    let dropped = log.dropped.saturating_sub(before.dropped);
    let written = log.written.saturating_sub(before.written);
    let lost_before = |name: &String| {
        let known = before.lost.iter().find(|(known, _)| known == name);
        known.map_or(0, |(_, lost)| *lost)
    };
    let losing = log.lost.iter();
    let losing = losing.filter(|(name, lost)| *lost > lost_before(name));
    let losing: Vec<&str> = losing.map(|(name, _)| name.as_str()).collect();
    let by = match losing.as_slice() {
        [] => "every output".to_owned(),
        names => names.join(" and "),
    };
    let settled = history.before(now, SETTLED);
    let settled = settled.and_then(|before| before.log.as_ref());
    let is_over = log.problems.is_empty()
        && settled
            .is_some_and(|before| before.dropped == log.dropped && before.written < log.written);
    let action = match losing.iter().any(|name| STREAMS.contains(name)) {
        _ if is_over => "No action needed: lines are written again. Dropped lines are missing.",
        true => {
            "Check the reader of that stream (log shipper, journal, terminal): it stopped reading or is too slow. Lines are \
             written again once it reads; `log_lines_lost` then has the number of missing lines."
        }
        false => {
            "Check disk, permissions, or the reader of a pipe: the output fails. The log event `log_output_failed` has the reason."
        }
    };
    let is_of_streams = !losing.is_empty() && losing.iter().all(|name| STREAMS.contains(name));
    (dropped > 0).then(|| {
        let severity = match is_over {
            true => Severity::Info,
            false => Severity::Warning,
        };
        let mut finding = Finding::new("log_lines_dropped", severity);
        // a problem with a file is not the cause
        if is_of_streams {
            finding = finding.explained_by(NO_CAUSE);
        }
        finding
            .seen(format!(
                "{dropped} lines were dropped by {by} in the last minute, {written} were written to all outputs"
            ))
            .means("The log is incomplete. Requests are not delayed.")
            .action(action)
            .runbook(RUNBOOK)
    })
}
