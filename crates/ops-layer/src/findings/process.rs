//! Rules about the process and its machine: disk, memory, processor, descriptors, panics, metrics.

use std::time::Duration;

use super::history::History;
use super::snapshot::{Disk, Metrics, Snapshot};
use super::{Finding, Severity};

const MIB: u64 = 1 << 20;
const WINDOW: Duration = Duration::from_secs(60);
const LONG_WINDOW: Duration = Duration::from_secs(300);
/// Periods of 100 ms that have to pass before their throttled share means something.
const PERIODS: f64 = 50.0;
const THROTTLED_SHARE: f64 = 0.25;

impl Disk {
    /// No room for a file of a few MiB.
    fn is_full(&self) -> bool {
        let share = (self.total / 100).min(256 * MIB);
        let little = share.max((self.total / 20).min(16 * MIB));
        self.free < little || self.free_files.is_some_and(|files| files == 0)
    }

    fn share(&self) -> f64 {
        self.free as f64 / self.total.max(1) as f64
    }

    fn seen(&self) -> String {
        let mib = |bytes: u64| bytes / MIB;
        let files = match self.free_files {
            Some(0) => ", and no inode is free",
            _ => "",
        };
        format!(
            "{} MiB of {} MiB are free below {}{files}",
            mib(self.free),
            mib(self.total),
            self.path
        )
    }
}

pub(super) fn disk_full(now: &Snapshot, _: &History) -> Option<Finding> {
    let disk = now.disks.iter().find(|disk| disk.is_full())?;
    let finding = Finding::new("disk_full", Severity::Critical)
        .seen(disk.seen())
        .means("Log lines, cache entries and data can no longer be written.")
        .action("Make room: `du -xh --max-depth=2` from there. The cache gives its part back with `cache clear`.");
    Some(finding.runbook("disk-full"))
}

pub(super) fn disk_nearly_full(now: &Snapshot, history: &History) -> Option<Finding> {
    let least = if history.is_active("disk_nearly_full") {
        0.06
    } else {
        0.05
    };
    let is_nearly = |disk: &&Disk| {
        !disk.is_full() && disk.total > 0 && disk.share() < least && disk.free < 2048 * MIB
    };
    let disk = now.disks.iter().find(is_nearly)?;
    let finding = Finding::new("disk_nearly_full", Severity::Warning)
        .seen(disk.seen())
        .means("The disk is full soon; then log lines and cache entries are lost.")
        .action("Make room, or lower `max_size_mb` in cache.yaml.");
    Some(finding.runbook("disk-full"))
}

pub(super) fn memory(now: &Snapshot, history: &History) -> Option<Finding> {
    let metrics = now.metrics.as_ref()?;
    let (used, limit) = (metrics.memory?, metrics.memory_limit?);
    let share = used / limit.max(1.0);
    let most = if history.is_active("memory_near_limit") {
        0.85
    } else {
        0.9
    };
    (share >= most).then(|| {
        Finding::new("memory_near_limit", Severity::Critical)
            .seen(format!(
                "the control group uses {:.0} of {:.0} MiB ({:.0} %), reclaimable page cache excluded",
                used / MIB as f64,
                limit / MIB as f64,
                share * 100.0
            ))
            .means("The kernel kills the process when the limit is reached.")
            .action("Raise the memory limit, or lower `memory_mb` in cache.yaml and the memory limit of DuckDB.")
            .runbook("memory-near-limit")
    })
}

pub(super) fn oom(now: &Snapshot, history: &History) -> Option<Finding> {
    let kills = increase(now, history, LONG_WINDOW, |metrics| metrics.oom_kills)?;
    (kills > 0.0).then(|| {
        Finding::new("oom_kills", Severity::Critical)
            .seen(format!(
                "the kernel killed {kills:.0} processes of this control group in the last 5 minutes"
            ))
            .means("The memory limit was reached.")
            .action("Raise the memory limit, or find the process that grows.")
            .runbook("memory-near-limit")
    })
}

pub(super) fn throttled(now: &Snapshot, history: &History) -> Option<Finding> {
    let periods = increase(now, history, WINDOW, |metrics| metrics.cpu_periods)?;
    let stopped = increase(now, history, WINDOW, |metrics| metrics.throttled_periods)?;
    let seconds =
        increase(now, history, WINDOW, |metrics| metrics.throttled_seconds).unwrap_or(0.0);
    let limit = now.metrics.as_ref()?.cpu_limit?;
    let least = if history.is_active("cpu_throttled") {
        THROTTLED_SHARE / 2.0
    } else {
        THROTTLED_SHARE
    };
    (periods >= PERIODS && stopped / periods >= least).then(|| {
        Finding::new("cpu_throttled", Severity::Warning)
            .seen(format!(
                "the kernel stopped the process in {:.0} % of the last {periods:.0} periods, for {seconds:.1} s: its limit is \
                 {limit:.2} cores",
                stopped / periods * 100.0
            ))
            .means("Every request waits while the process is throttled; latency rises although the machine is idle.")
            .action("Raise the processor limit of the container, or remove it and keep the request.")
            .runbook("cpu-throttled")
    })
}

pub(super) fn descriptors(now: &Snapshot, history: &History) -> Option<Finding> {
    let metrics = now.metrics.as_ref()?;
    let (open, max) = (metrics.open_fds?, metrics.max_fds?);
    let share = open / max.max(1.0);
    let most = if history.is_active("descriptors_low") {
        0.75
    } else {
        0.8
    };
    let severity = if share >= 0.95 {
        Severity::Critical
    } else {
        Severity::Warning
    };
    (share >= most).then(|| {
        Finding::new("descriptors_low", severity)
            .seen(format!("{open:.0} of {max:.0} file descriptors are open"))
            .means("At the limit, connections are refused and files cannot be opened.")
            .action(
                "Raise LimitNOFILE or `ulimit -n`; a number that grows without traffic is a leak.",
            )
            .runbook("file-descriptors-low")
    })
}

pub(super) fn panics(now: &Snapshot, history: &History) -> Option<Finding> {
    let panics = increase(now, history, LONG_WINDOW, |metrics| Some(metrics.panics))?;
    (panics > 0.0).then(|| {
        Finding::new("panics", Severity::Warning)
            .seen(format!("{panics:.0} panics in the last 5 minutes"))
            .means("A bug in the code; each request that hit it was answered with 500.")
            .action("Message and place are in the log line `panic`.")
            .runbook("panics")
    })
}

pub(super) fn cardinality(now: &Snapshot, history: &History) -> Option<Finding> {
    let metrics = now.metrics.as_ref()?;
    let before = history.since(now, LONG_WINDOW)?.metrics.as_ref()?;
    let growth = |overflow: &super::snapshot::Overflow| {
        let known = before
            .overflows
            .iter()
            .find(|known| (known.metric, known.label) == (overflow.metric, overflow.label));
        overflow
            .count
            .saturating_sub(known.map_or(0, |known| known.count))
    };
    let worst = metrics
        .overflows
        .iter()
        .max_by_key(|overflow| growth(overflow))?;
    let count = growth(worst);
    (count > 0).then(|| {
        Finding::new("cardinality_overflow", Severity::Warning)
            .seen(format!(
                "label {} of {} has too many values: {count} became `other` in the last 5 minutes, such as {:?}",
                worst.label, worst.metric, worst.example
            ))
            .means("Dashboards cannot distinguish these values.")
            .action("Give the label a closed set of values, or a route its template.")
            .runbook("cardinality-overflow")
    })
}

pub(super) fn requests(now: &Snapshot, history: &History) -> Option<Finding> {
    let all = increase(now, history, WINDOW, |metrics| Some(metrics.requests))?;
    let failed = increase(now, history, WINDOW, |metrics| Some(metrics.server_errors))?;
    // a failure may be read whose request ended after the requests were read
    let failed = failed.min(all);
    let panics = increase(now, history, WINDOW, |metrics| Some(metrics.panics))?;
    (failed >= 10.0 && failed / all.max(1.0) >= 0.05).then(|| {
        let mut finding = Finding::new("requests_failing", Severity::Critical);
        finding.route = worst_route(now, history);
        if panics >= failed / 2.0 {
            finding = finding.explained_by("panics");
        }
        finding
            .seen(format!(
                "{failed:.0} of {all:.0} requests ended with 5xx, broke off or failed as gRPC calls in the last minute"
            ))
            .means("Users see errors.")
            .action(
                "Their log lines carry route and trace id; failed traces are on the admin page.",
            )
            .runbook("api-availability-burn")
    })
}

/// The route that failed most often in the last minute.
fn worst_route(now: &Snapshot, history: &History) -> Option<String> {
    let before = history.since(now, WINDOW)?.metrics.as_ref()?;
    let errors = |routes: &[(String, f64)], route: &str| {
        let known = routes.iter().find(|(known, _)| known == route);
        known.map_or(0.0, |(_, errors)| *errors)
    };
    let routes = now.metrics.as_ref()?.errors_by_route.iter();
    let growth =
        routes.map(|(route, count)| (count - errors(&before.errors_by_route, route), route));
    let worst = growth.max_by(|one, other| one.0.total_cmp(&other.0))?;
    (worst.0 > 0.0).then(|| worst.1.clone())
}

fn increase(
    now: &Snapshot,
    history: &History,
    window: Duration,
    of: impl Fn(&Metrics) -> Option<f64>,
) -> Option<f64> {
    let before = of(history.since(now, window)?.metrics.as_ref()?)?;
    Some((of(now.metrics.as_ref()?)? - before).max(0.0))
}
