//! Rules about the tokio runtime and the clock.

use std::time::Duration;

use super::history::{History, STEPPED_LATELY};
use super::snapshot::Snapshot;
use super::{Finding, Severity};

/// Wait of a task from which no worker counts as free.
pub(super) const BLOCKED: Duration = Duration::from_secs(2);

pub(super) fn blocked(now: &Snapshot, _: &History) -> Option<Finding> {
    let heartbeat = now.heartbeat;
    let waiting = heartbeat.waiting.filter(|waited| *waited >= BLOCKED);
    let was = (heartbeat.longest >= BLOCKED).then_some(heartbeat.longest);
    let seconds = waiting.or(was)?.as_secs_f64();
    let workers = heartbeat.workers;
    let seen = match waiting {
        Some(_) => format!(
            "none of the {workers} workers of the runtime has run a new task for {seconds:.1} s"
        ),
        None => format!(
            "none of the {workers} workers of the runtime ran a new task for {seconds:.1} s; they have recovered"
        ),
    };
    let mut finding = Finding::new("workers_blocked", Severity::Critical)
        .seen(seen)
        .means("No request is answered meanwhile, including health probes.")
        .action(
            "Find the blocking code and move calls that block or compute for long to `spawn_blocking`. While it lasts, \
             `thread apply all bt` in a debugger shows it.",
        );
    if let Some(since) = waiting.and_then(|waited| now.wall.checked_sub(waited)) {
        finding = finding.since(since);
    }
    Some(finding.runbook("workers-blocked"))
}

pub(super) fn clock(now: &Snapshot, history: &History) -> Option<Finding> {
    let seconds = history.step(now, STEPPED_LATELY)?;
    let direction = if seconds > 0.0 { "forward" } else { "back" };
    let finding = Finding::new("clock_stepped", Severity::Warning)
        .seen(format!(
            "the clock was set {direction} by {:.1} s, or the machine was suspended",
            seconds.abs()
        ))
        .means("Timestamps in logs and traces jump; AWS rejects requests that are five minutes off; cache entries expire early or late.")
        .action("Check time synchronization on the machine: `timedatectl`, `chronyc tracking`.");
    Some(finding.runbook("clock-stepped"))
}
