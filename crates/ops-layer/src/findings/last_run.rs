//! Rules about the run before, and the file that shows it.

use std::time::Duration;

use super::history::History;
use super::snapshot::Snapshot;
use super::{Finding, Severity};

/// Time after a start for which the end of the run before is a finding; the page shows it for as long as the process runs.
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
        .action(
            "Free space, give the file its name back, move another one away that is in its place, or name another one with OPS_BLACK_BOX; \
             then restart.",
        );
    Some(finding.runbook(RUNBOOK))
}
