//! Rules about the process and its machine: disk, memory, processor, descriptors, panics, metrics.

use super::history::{History, LONG_WINDOW, WINDOW};
use super::snapshot::{Disk, Snapshot};
use super::{Finding, Severity};

const MIB: u64 = 1 << 20;
/// Number of periods of 100 ms below which their throttled share is not meaningful.
const PERIODS: f64 = 50.0;
/// Maximum size that a free share refers to, in bytes: a small share of it is too little for an hour of a busy service.
const FREE_SHARE_MAX_BYTES: f64 = 40.0 * (1_u64 << 30) as f64;
/// Maximum number of inodes that a free share refers to: a small
/// share of them is too few for an hour of many small files.
const FREE_SHARE_MAX_FILES: f64 = 2e6;
const THROTTLED_SHARE: f64 = 0.25;

impl Disk {
    /// Returns whether there is no room for a file of a few MiB.
    fn is_full(&self) -> bool {
        let share = (self.total / 100).min(256 * MIB);
        let little = share.max((self.total / 20).min(16 * MIB));
        self.free < little || self.free_files.is_some_and(|files| files == 0)
    }

    /// Returns the free inodes and their total, if less than this share is free.
    fn few_files(&self, least: f64) -> Option<(u64, u64)> {
        let (free, all) = (self.free_files?, self.files?);
        let is_few = (free as f64) < least * FREE_SHARE_MAX_FILES.min(all as f64);
        is_few.then_some((free, all))
    }

    fn seen(&self, least: f64) -> String {
        let mib = |bytes: u64| bytes / MIB;
        let files = match self.few_files(least) {
            _ if self.free_files == Some(0) => ", and no inodes are free".to_owned(),
            Some((free, all)) => format!(", and {free} of {all} inodes"),
            None => String::new(),
        };
        format!(
            "{} MiB of {} MiB are free in {}{files}",
            mib(self.free),
            mib(self.total),
            self.path
        )
    }
}

pub(super) fn disk_full(now: &Snapshot, _: &History) -> Option<Finding> {
    let disk = now.disks.iter().find(|disk| disk.is_full())?;
    let finding = Finding::new("disk_full", Severity::Critical)
        .seen(disk.seen(0.05))
        .means("Log lines, cache entries and data can no longer be written.")
        .action("Free disk space: run `du -xh --max-depth=2` there, with `--inodes` if no inodes are free. `cache clear` frees the space of the cache.");
    Some(finding.runbook("disk-full"))
}

pub(super) fn disk_nearly_full(now: &Snapshot, history: &History) -> Option<Finding> {
    let least = if history.is_active("disk_nearly_full") {
        0.06
    } else {
        0.05
    };
    let is_nearly = |disk: &&Disk| {
        let is_small = disk.total > 0
            && (disk.free as f64) < least * FREE_SHARE_MAX_BYTES.min(disk.total as f64);
        !disk.is_full() && (is_small || disk.few_files(least).is_some())
    };
    let disk = now.disks.iter().find(is_nearly)?;
    let finding = Finding::new("disk_nearly_full", Severity::Warning)
        .seen(disk.seen(least))
        .means("Once the disk is full, log lines and cache entries are lost.")
        .action("Free disk space, or lower `max_size_mb` in cache.yaml. `du --inodes -x --max-depth=2` finds directories with many small files.");
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
    let kills = history.increase(now, LONG_WINDOW, |metrics| metrics.oom_kills)?;
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
    let periods = history.increase(now, WINDOW, |metrics| metrics.cpu_periods)?;
    let stopped = history.increase(now, WINDOW, |metrics| metrics.throttled_periods)?;
    let seconds = history
        .increase(now, WINDOW, |metrics| metrics.throttled_seconds)
        .unwrap_or(0.0);
    let limit = now.metrics.as_ref()?.cpu_limit?;
    let least = if history.is_active("cpu_throttled") {
        THROTTLED_SHARE / 2.0
    } else {
        THROTTLED_SHARE
    };
    (periods >= PERIODS && stopped / periods >= least).then(|| {
        Finding::new("cpu_throttled", Severity::Warning)
            .seen(format!(
                "the kernel throttled the process in {:.0} % of the last {periods:.0} periods, for {seconds:.1} s: the limit is \
                 {limit:.2} cores",
                stopped / periods * 100.0
            ))
            .means("Every request waits while the process is throttled; latency rises even if the machine is idle.")
            .action("Raise the CPU limit of the container, or remove it and keep the request.")
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
                "Raise LimitNOFILE or `ulimit -n`; a count that grows without traffic is a leak.",
            )
            .runbook("file-descriptors-low")
    })
}

pub(super) fn panics(now: &Snapshot, history: &History) -> Option<Finding> {
    let panics = history.increase(now, LONG_WINDOW, |metrics| Some(metrics.panics))?;
    (panics > 0.0).then(|| {
        Finding::new("panics", Severity::Warning)
            .seen(format!("{panics:.0} panics in the last 5 minutes"))
            .means("The code has a bug; a request that hits it fails with status 500.")
            .action("See the log event `panic` for message and location.")
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
                "label {} of {} has too many values: {count} were recorded as `other` in the last 5 minutes, such as {:?}",
                worst.label, worst.metric, worst.example
            ))
            .means("Dashboards cannot distinguish these values.")
            .action("Restrict the label to a fixed set of values; label routes by their template.")
            .runbook("cardinality-overflow")
    })
}
