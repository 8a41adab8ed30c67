//! Diagnostic rules of the platform's own domain, in addition to those of the operations layer.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ops_layer::{Finding, Ops, Severity};

use crate::domain_metrics;
use crate::files::DataDir;
use crate::orchestrator::{Record, Status};

/// Window over which the counts of providers are compared.
const WINDOW: Duration = Duration::from_secs(60);
/// Window over which ended runs are compared; they are rarer than requests.
const RUNS_WINDOW: Duration = Duration::from_secs(600);
/// Minimum number of failed requests, and their minimum share, for a finding.
const MIN_FAILED: f64 = 5.0;
const MIN_FAILED_SHARE: f64 = 0.2;
/// Minimum number of queued runs for a finding.
const MIN_WAITING: f64 = 5.0;

/// Adds the rules about providers and the queue.
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

/// Adds the rule about the data directory.
pub fn add_data_dir(ops: &Ops, data: &DataDir) {
    let (is_owner, shown) = (data.ownership_check(), data.path().display().to_string());
    ops.add_rule("data_dir_lost", move || {
        (!is_owner()).then(|| {
            Finding::new("data_dir_lost", Severity::Critical)
                .seen(format!(
                    "{shown} is no longer the directory that this platform locked at its start: it or its .lock was removed or replaced"
                ))
                .means(
                    "Runs, results and models cannot be written, or belong to another platform. Data already loaded is still served.",
                )
                .action("If the directory was moved, move it back; otherwise restart the platform, which creates a new one.")
        })
    });
}

/// Adds the rule about failing runs; its finding names the last failed one.
pub fn add_runs(
    ops: &Ops,
    runs: impl Fn(&dyn Fn(&Record) -> bool) -> Option<Record> + Send + 'static,
) {
    let mut counts = Counts::default();
    ops.add_rule("runs_failing", move || {
        let family = domain_metrics::orchestrator_runs_total::family();
        let of = |wanted: &[&str]| {
            let status =
                |labels: &[&str]| labels.last().is_some_and(|label| wanted.contains(label));
            family.total(status).unwrap_or(0.0)
        };
        let failed = of(&["failed", "timeout"]);
        let is_failed = |record: &Record| matches!(record.status, Status::Failed | Status::Timeout);
        counts.runs(Instant::now(), [failed + of(&["success"]), failed], || {
            runs(&is_failed)
        })
    });
}

/// Returns the number of requests to providers, and of the failed ones. Requests cancelled by the client, or not sent
/// for lack of a permit, count as neither. A point without an area counts as success.
fn read() -> [f64; 2] {
    let family = domain_metrics::isochrone_requests_total::family();
    let of = |wanted: &dyn Fn(&str) -> bool| {
        let status = |labels: &[&str]| labels.last().is_some_and(|status| wanted(status));
        family.total(status).unwrap_or(0.0)
    };
    let all = of(&|status| !matches!(status, "cancelled" | "busy"));
    let failed = of(&|status| !matches!(status, "ok" | "no_area" | "cancelled" | "busy"));
    [all, failed]
}

/// Two monotonic counts: all, and failed.
#[derive(Debug, Default)]
struct Counts(VecDeque<(Instant, [f64; 2])>);

impl Counts {
    /// Returns the growth of both counts within the window.
    fn growth(&mut self, now: Instant, window: Duration, counts: [f64; 2]) -> [f64; 2] {
        while self.0.front().is_some_and(|(at, _)| *at + window < now) {
            self.0.pop_front();
        }
        let before = self.0.front().map_or(counts, |(_, counts)| *counts);
        self.0.push_back((now, counts));
        [counts[0] - before[0], counts[1] - before[1]]
    }

    fn provider(&mut self, now: Instant, counts: [f64; 2]) -> Option<Finding> {
        let [all, failed] = self.growth(now, WINDOW, counts);
        (failed >= MIN_FAILED && failed / all.max(1.0) >= MIN_FAILED_SHARE).then(|| {
            Finding::new("provider_failing", Severity::Critical)
                .seen(format!("{failed:.0} of {all:.0} isochrone requests failed in the last minute"))
                .means("Isochrones are missing or late.")
                .action("Check the status in `isochrone_requests_total`: 429 is the rate limit of the plan, other 4xx the token, the rest the provider.")
                .runbook("isochrone-provider-failing")
                .route("GET /api/isochrone")
        })
    }

    fn runs(
        &mut self,
        now: Instant,
        counts: [f64; 2],
        last: impl FnOnce() -> Option<Record>,
    ) -> Option<Finding> {
        let [all, failed] = self.growth(now, RUNS_WINDOW, counts);
        if failed < 1.0 || failed / all.max(1.0) < MIN_FAILED_SHARE {
            return None;
        }
        let finding = Finding::new("runs_failing", Severity::Warning)
            .means("The results of these runs are missing; earlier results are still served.")
            .action("Fix the cause that the error names, then run the job again. `kearney-platform runs` lists runs with their errors.")
            .runbook("orchestrator-success-low");
        let numbers = format!("{failed:.0} of {all:.0} runs failed in the last 10 minutes");
        let Some(last) = last() else {
            return Some(finding.seen(numbers));
        };
        let phase = last.phase.as_deref().unwrap_or("start");
        let error = last.error.as_deref().unwrap_or("no error recorded");
        let finding = finding.seen(format!(
            "{numbers}; the last one was {} {} in phase {phase}: {error}",
            last.job.name(),
            last.run_id
        ));
        Some(match last.trace_id {
            Some(trace_id) => finding.trace_id(trace_id),
            None => finding,
        })
    }
}

#[derive(Debug, Default)]
struct Queue(VecDeque<(Instant, f64)>);

impl Queue {
    fn look(&mut self, now: Instant, depth: f64) -> Option<Finding> {
        // keeps the last entry that is at least a minute old
        while self.0.get(1).is_some_and(|(at, _)| *at + WINDOW <= now) {
            self.0.pop_front();
        }
        let minute_ago = self.0.front().filter(|(at, _)| *at + WINDOW <= now);
        let before = minute_ago.map(|(_, depth)| *depth);
        let least = self.0.iter().map(|(_, depth)| *depth).fold(depth, f64::min);
        self.0.push_back((now, depth));
        let before = before?;
        // never empty meanwhile, and not shorter than a minute ago
        (depth >= MIN_WAITING && least > 0.0 && depth >= before).then(|| {
            Finding::new("queue_growing", Severity::Warning)
                .seen(format!("{depth:.0} runs are waiting; a minute ago, {before:.0} were"))
                .means("Runs finish later and later; once the queue is full, new runs are rejected.")
                .action("Find the slow phase in the log lines with `run_id` and `phase`, or submit fewer runs.")
                .runbook("orchestrator-queue-growing")
                .explained_by("duckdb_slow")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orchestrator::Job;

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
    fn runs_that_fail_are_found_with_the_reason_of_the_last_one() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut record = Record::new(Job::Load, None);
        record.phase = Some("ingest".to_owned());
        record.end(
            Status::Failed,
            Some("flights.parquet is damaged".to_owned()),
        );
        let mut counts = Counts::default();
        let rows = [
            (0, [4.0, 0.0], false),
            (5, [24.0, 1.0], false),
            (10, [25.0, 2.0], false),
            (15, [29.0, 6.0], true),
            (600, [29.0, 6.0], true),
            (620, [29.0, 6.0], false),
        ];
        for (seconds, read, right) in rows {
            let found = counts.runs(at(seconds), read, || Some(record.clone()));
            assert_eq!(found.is_some(), right, "{seconds} s: {found:?}");
            if let Some(finding) = found {
                let reason = "in phase ingest: flights.parquet is damaged";
                assert!(finding.seen.contains(reason), "{finding:?}");
            }
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
