//! Rules about the previous run, and the file that shows it.

use std::time::Duration;

use super::history::History;
use super::snapshot::Snapshot;
use super::{Finding, Severity, disk};

/// Time after a start for which the end of the previous run is
/// a finding; the page shows it as long as the process runs.
const LATELY: Duration = Duration::from_secs(3600);
const RUNBOOK: &str = "last-run-crashed";

pub(super) fn ended(now: &Snapshot, _: &History) -> Option<Finding> {
    let ended = now.black_box.as_ref()?.ended.as_ref()?;
    if now.at >= LATELY {
        return None;
    }
    let before = now.wall.duration_since(ended.at).unwrap_or_default();
    let seconds = before.as_secs();
    let finding = Finding::new("last_run_crashed", Severity::Warning)
        .seen(format!(
            "the previous run was last seen {seconds} s ago: {}",
            ended.how
        ))
        .means("Requests in flight were aborted, and unwritten data is lost.")
        .action(format!(
            "See its last seconds in the section Last run of the admin page; the full record is in {}.",
            ended.kept
        ));
    Some(finding.runbook(RUNBOOK))
}

pub(super) fn off(now: &Snapshot, _: &History) -> Option<Finding> {
    let why = now.black_box.as_ref()?.off.as_ref()?;
    let finding = Finding::new("black_box_off", Severity::Warning)
        .seen(why)
        .means("If this run crashes, its last seconds are lost, and how it ended cannot be determined. Nothing else is affected.")
        .action(format!(
            "{}, or set OPS_BLACK_BOX to another path; then restart.",
            remedy(why)
        ));
    Some(finding.runbook(RUNBOOK))
}

/// Returns the remedy for the reason why there is no black box.
fn remedy(why: &str) -> &'static str {
    let says = |text: &&str| why.contains(*text);
    // 2 is ENOENT, 20 is ENOTDIR
    let remedies: [(&[&str], &str); 6] = [
        (
            &["was removed or renamed"],
            "Rename the file back if it was renamed",
        ),
        (&["another process writes"], "Stop the other process"),
        (
            &["cannot guarantee space", "did not reserve space"],
            "Use another file system",
        ),
        (&["(os error 2)"], "Create its directory"),
        (
            &["(os error 20)"],
            "Move the file that is in place of its directory elsewhere",
        ),
        (&["(os error"], "Fix the reported cause"),
    ];
    if disk::is_full(why) {
        return "Free disk space";
    }
    let found = remedies.iter().find(|(texts, _)| texts.iter().any(says));
    found.map_or("Move the file at this path elsewhere", |(_, remedy)| remedy)
}
