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
            "none of the {workers} workers of the runtime ran a new task for {seconds:.1} s; they do again"
        ),
    };
    let mut finding = Finding::new("workers_blocked", Severity::Critical)
        .seen(seen)
        .means("No request is answered meanwhile, health probes included.")
        .action(
            "Find the code that blocks: `spawn_blocking` is for calls that wait or compute for long. A debugger's \
             `thread apply all bt` shows it while it lasts.",
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
            "the clock went {direction} by {:.1} s, or the machine slept",
            seconds.abs()
        ))
        .means("Times in lines and traces jump; AWS refuses requests that are five minutes off; entries expire early or late.")
        .action("Check the time service of the machine: `timedatectl`, `chronyc tracking`.");
    Some(finding.runbook("clock-stepped"))
}
