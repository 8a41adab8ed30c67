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
            "the run before was last seen {seconds} s ago: {}",
            ended.how
        ))
        .means("Requests in flight were cut off, and what was not written is lost.")
        .action(format!(
            "Read its last seconds in the section Last run of the admin page; all of it is in {}.",
            ended.kept
        ));
    Some(finding.runbook(RUNBOOK))
}

pub(super) fn off(now: &Snapshot, _: &History) -> Option<Finding> {
    let why = now.black_box.as_ref()?.off.as_ref()?;
    let finding = Finding::new("black_box_off", Severity::Warning)
        .seen(why)
        .means("If this run crashes, its last seconds are lost, and nobody can say how it ended. Nothing else is harmed.")
        .action(format!(
            "{}, or name another one with OPS_BLACK_BOX; then restart.",
            remedy(why)
        ));
    Some(finding.runbook(RUNBOOK))
}

/// Returns the remedy for the reason why there is no black box.
fn remedy(why: &str) -> &'static str {
    let says = |text: &&str| why.contains(*text);
    // 2 is ENOENT, 20 is ENOTDIR
    let remedies: [(&[&str], &str); 6] = [
        (&["somebody removed it"], "Give the file its name back"),
        (&["another process writes"], "End the other process"),
        (
            &["promises no space", "reserves no space"],
            "Have it on another file system",
        ),
        (&["(os error 2)"], "Make the folder for it"),
        (
            &["(os error 20)"],
            "Move away the file that stands where its folder should be",
        ),
        (&["(os error"], "Correct what the reason names"),
    ];
    if disk::is_full(why) {
        return "Free space";
    }
    let found = remedies.iter().find(|(texts, _)| texts.iter().any(says));
    found.map_or("Move away what is in its place", |(_, remedy)| remedy)
}
