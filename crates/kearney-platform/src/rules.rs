//! Findings of the platform's own domain, among those of the operations layer.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ops_layer::{Finding, Ops, Severity};

use crate::domain_metrics;

/// Time that the counts of providers are compared over.
const WINDOW: Duration = Duration::from_secs(60);
/// Failed requests that make a share of them mean something, and that share.
const FAILED: f64 = 5.0;
const FAILED_SHARE: f64 = 0.2;
/// Runs that wait, from which on their number is looked at.
const WAITING: f64 = 5.0;

/// Adds them.
pub fn add(ops: &Ops) {
    let mut counts = Counts::default();
    ops.add_rule("provider_failing", move || {
        counts.provider(Instant::now(), read())
    });
    let mut queue = Queue::default();
    ops.add_rule("queue_growing", move || {
        queue.look(
            Instant::now(),
            domain_metrics::orchestrator_queue_depth().get(),
        )
    });
}

/// Requests to providers, and those that failed; a request that the client gave up is neither.
fn read() -> [f64; 2] {
    let family = domain_metrics::isochrone_requests_total::family();
    let of = |wanted: &dyn Fn(&str) -> bool| {
        let status = |labels: &[&str]| labels.last().is_some_and(|status| wanted(status));
        family.total(status).unwrap_or(0.0)
    };
    let all = of(&|status| status != "cancelled");
    let failed = of(&|status| !matches!(status, "ok" | "cancelled"));
    [all, failed]
}

#[derive(Debug, Default)]
struct Counts(VecDeque<(Instant, [f64; 2])>);

impl Counts {
    fn provider(&mut self, now: Instant, counts: [f64; 2]) -> Option<Finding> {
        while self.0.front().is_some_and(|(at, _)| *at + WINDOW < now) {
            self.0.pop_front();
        }
        let before = self.0.front().map_or(counts, |(_, counts)| *counts);
        self.0.push_back((now, counts));
        let [all, failed] = [counts[0] - before[0], counts[1] - before[1]];
        (failed >= FAILED && failed / all.max(1.0) >= FAILED_SHARE).then(|| {
            Finding::new("provider_failing", Severity::Critical)
                .seen(format!("{failed:.0} of {all:.0} isochrone requests failed in the last minute"))
                .means("Isochrones are missing, or come late.")
                .action("`isochrone_requests_total` names the status: 429 is the plan, 4xx the token, the rest the provider.")
                .runbook("isochrone-provider-failing")
                .route("GET /api/isochrone")
        })
    }
}

#[derive(Debug, Default)]
struct Queue(VecDeque<(Instant, f64)>);

impl Queue {
    fn look(&mut self, now: Instant, depth: f64) -> Option<Finding> {
        // the first that is left is the last one of a minute ago
        while self.0.get(1).is_some_and(|(at, _)| *at + WINDOW <= now) {
            self.0.pop_front();
        }
        let minute_ago = self.0.front().filter(|(at, _)| *at + WINDOW <= now);
        let before = minute_ago.map(|(_, depth)| *depth);
        let least = self.0.iter().map(|(_, depth)| *depth).fold(depth, f64::min);
        self.0.push_back((now, depth));
        let before = before?;
        // never empty meanwhile, and not shorter than before
        (depth >= WAITING && least > 0.0 && depth >= before).then(|| {
            Finding::new("queue_growing", Severity::Warning)
                .seen(format!("{depth:.0} runs wait, {before:.0} did a minute ago"))
                .means("Runs end later and later; one more than fits is refused.")
                .action("Find the slow phase in the log lines with `run_id` and `phase`, or ask for fewer runs.")
                .runbook("orchestrator-queue-growing")
                .explained_by("duckdb_slow")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_that_fails_is_found_and_a_single_failure_is_not() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut counts = Counts::default();
        let rows = [
            (0, [0.0, 0.0], false),
            (5, [100.0, 1.0], false),
            (10, [120.0, 4.0], false),
            (15, [140.0, 40.0], true),
            (70, [140.0, 40.0], true),
            (80, [140.0, 40.0], false),
        ];
        for (seconds, read, right) in rows {
            let found = counts.provider(at(seconds), read);
            assert_eq!(found.is_some(), right, "{seconds} s: {found:?}");
        }
    }

    #[test]
    fn a_queue_that_grows_is_found_and_one_that_empties_is_not() {
        let start = Instant::now();
        let mut queue = Queue::default();
        let rows = [
            (0, 0.0, false),
            (5, 16.0, false),
            (30, 8.0, false),
            (60, 9.0, false),
            (70, 10.0, false),
            (95, 12.0, true),
            (100, 3.0, false),
        ];
        for (seconds, depth, right) in rows {
            let found = queue.look(start + Duration::from_secs(seconds), depth);
            assert_eq!(found.is_some(), right, "{seconds} s: {found:?}");
        }
    }
}
