use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::builtin::{
    cgroup_cpu_limit_cores, cgroup_cpu_periods_total, cgroup_cpu_throttled_periods_total,
    cgroup_cpu_throttled_seconds_total, cgroup_memory_limit_bytes, cgroup_memory_usage_bytes,
    cgroup_memory_working_set_bytes, cgroup_oom_kills_total,
};

/// Smallest value that means "no limit": version 1 writes the
/// largest multiple of a page; no machine has as much memory.
const NO_LIMIT_FROM: u64 = 1 << 60;

/// Reads the control groups, version 1 and 2, of this process. Values that they do not report are not changed.
///
/// `root` is the folder that contains `proc` and `sys`.
pub(crate) fn sample(root: &Path) {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let mount = root.join("sys/fs/cgroup");
        if controllers.is_empty() {
            // a machine with both versions mounts version 2 separately
            let group = [mount.clone(), mount.join("unified")]
                .into_iter()
                .find_map(|mount| Group::find(root, &mount, path, "cgroup.controllers"));
            group.inspect(Group::sample_v2);
        } else {
            for controller in controllers.split(',') {
                let mount = mount.join(controller);
                match controller {
                    "memory" => {
                        Group::find(root, &mount, path, "memory.limit_in_bytes")
                            .inspect(Group::sample_memory_v1);
                    }
                    "cpu" => {
                        Group::find(root, &mount, path, "cpu.stat").inspect(Group::sample_cpu_v1);
                    }
                    _ => {}
                }
            }
        }
    }
}

/// A control group and its ancestors, whose limits apply to it too.
struct Group {
    folders: Vec<PathBuf>,
    /// File with the memory of the machine, as reported by the kernel.
    machine: PathBuf,
}

impl Group {
    /// Finds the folders of the group, innermost first. Inside a container
    /// the path may be the host's, and the group is the mount itself.
    fn find(root: &Path, mount: &Path, path: &str, witness: &str) -> Option<Self> {
        let own = mount.join(path.trim_start_matches('/'));
        let folders = own
            .ancestors()
            .take_while(|folder| folder.starts_with(mount));
        let folders = folders.filter(|folder| folder.join(witness).exists());
        let folders: Vec<PathBuf> = folders.map(Path::to_path_buf).collect();
        let machine = root.join("proc/meminfo");
        (!folders.is_empty()).then_some(Self { folders, machine })
    }

    /// Reads a file of the group itself.
    fn read_own(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.folders.first()?.join(file)).ok()
    }

    /// Publishes use and limit of the group that is nearest to its limit: this one, or an ancestor, whose other members
    /// use the same memory. Without any limit it publishes this group.
    fn sample_memory(&self, usage: &str, reclaimable: &str, limit: &str) {
        let memory = self.folders.iter().map(|folder| {
            let text = |file| fs::read_to_string(folder.join(file)).ok();
            let number = |file| text(file)?.trim().parse::<u64>().ok();
            Memory {
                usage: number(usage),
                reclaimable: field(&text("memory.stat").unwrap_or_default(), reclaimable),
                limit: number(limit).filter(|bytes| *bytes < NO_LIMIT_FROM),
            }
        });
        let mut groups: Vec<Memory> = memory.collect();
        let own = groups[0];
        for group in &mut groups {
            // an ancestor whose use is hidden uses at least as much as this group
            if group.usage.is_none() {
                (group.usage, group.reclaimable) = (own.usage, own.reclaimable);
            }
        }
        let limited = groups.iter().filter(|group| group.limit.is_some());
        // the innermost of two that are equally near
        let nearest = limited
            .rev()
            .max_by(|one, other| one.share().total_cmp(&other.share()));
        nearest.unwrap_or(&own).publish();
        let is_gone = nearest.is_none() && self.read_own(limit).is_some();
        if is_gone && !cgroup_memory_limit_bytes::family().is_empty() {
            // the limit was removed: the machine's memory is the limit
            let text = fs::read_to_string(&self.machine).unwrap_or_default();
            if let Some(kilobytes) = memory_total(&text) {
                cgroup_memory_limit_bytes().set(kilobytes as f64 * 1024.0);
            }
        }
    }

    fn sample_v2(&self) {
        self.sample_memory("memory.current", "inactive_file", "memory.max");
        let events = self.read_own("memory.events").unwrap_or_default();
        if let Some(kills) = field(&events, "oom_kill") {
            cgroup_oom_kills_total().absolute(kills);
        }
        let cores = |folder: &Path| {
            let text = fs::read_to_string(folder.join("cpu.max")).ok()?;
            let (quota, period) = text.trim().split_once(' ')?;
            cores(quota.parse().ok()?, period.parse().ok()?)
        };
        self.sample_cpu("cpu.max", cores, |stat| {
            field(stat, "throttled_usec").map(Duration::from_micros)
        });
    }

    fn sample_memory_v1(&self) {
        self.sample_memory(
            "memory.usage_in_bytes",
            "total_inactive_file",
            "memory.limit_in_bytes",
        );
        let control = self.read_own("memory.oom_control").unwrap_or_default();
        if let Some(kills) = field(&control, "oom_kill") {
            cgroup_oom_kills_total().absolute(kills);
        }
    }

    fn sample_cpu_v1(&self) {
        let cores = |folder: &Path| {
            let read = |file| fs::read_to_string(folder.join(file)).ok();
            let quota = read("cpu.cfs_quota_us")?.trim().parse().ok()?;
            cores(quota, read("cpu.cfs_period_us")?.trim().parse().ok()?)
        };
        self.sample_cpu("cpu.cfs_quota_us", cores, |stat| {
            field(stat, "throttled_time").map(Duration::from_nanos)
        });
    }

    /// Publishes the smallest limit, and how often the group with this limit was throttled.
    fn sample_cpu(
        &self,
        quota: &str,
        cores: impl Fn(&Path) -> Option<f64>,
        throttled: impl Fn(&str) -> Option<Duration>,
    ) {
        let limited = self.folders.iter();
        let limited = limited.filter_map(|folder| Some((cores(folder)?, folder)));
        let least = limited.min_by(|(one, _), (other, _)| one.total_cmp(other));
        let stat = least.and_then(|(_, folder)| fs::read_to_string(folder.join("cpu.stat")).ok());
        let stat = stat
            .or_else(|| self.read_own("cpu.stat"))
            .unwrap_or_default();
        let cores = least.map(|(cores, _)| cores).or_else(|| {
            let is_gone =
                self.read_own(quota).is_some() && !cgroup_cpu_limit_cores::family().is_empty();
            let of_machine = || std::thread::available_parallelism().ok();
            Some(is_gone.then(of_machine)??.get() as f64)
        });
        set_cpu(cores, &stat, throttled);
    }
}

/// Memory of a group, in bytes.
#[derive(Clone, Copy)]
struct Memory {
    usage: Option<u64>,
    /// Page cache that the kernel reclaims when memory is short.
    reclaimable: Option<u64>,
    limit: Option<u64>,
}

impl Memory {
    fn working_set(&self) -> Option<u64> {
        Some(self.usage?.saturating_sub(self.reclaimable?))
    }

    fn share(&self) -> f64 {
        let used = self.working_set().or(self.usage).unwrap_or(0);
        used as f64 / self.limit.unwrap_or(u64::MAX).max(1) as f64
    }

    fn publish(&self) {
        if let Some(bytes) = self.usage {
            cgroup_memory_usage_bytes().set(bytes as f64);
        }
        if let Some(bytes) = self.working_set() {
            cgroup_memory_working_set_bytes().set(bytes as f64);
        }
        if let Some(bytes) = self.limit {
            cgroup_memory_limit_bytes().set(bytes as f64);
        }
    }
}

fn set_cpu(cores: Option<f64>, stat: &str, throttled: impl Fn(&str) -> Option<Duration>) {
    if let Some(cores) = cores {
        cgroup_cpu_limit_cores().set(cores);
    }
    if let Some(periods) = field(stat, "nr_periods") {
        cgroup_cpu_periods_total().absolute(periods);
    }
    if let Some(periods) = field(stat, "nr_throttled") {
        cgroup_cpu_throttled_periods_total().absolute(periods);
    }
    if let Some(time) = throttled(stat) {
        cgroup_cpu_throttled_seconds_total().absolute(time);
    }
}

/// Returns the quota divided by the period, both in microseconds; a quota of 0 or less means no limit.
fn cores(quota: i64, period: i64) -> Option<f64> {
    (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
}

/// Returns the kilobytes in `MemTotal:       16384 kB`.
fn memory_total(text: &str) -> Option<u64> {
    let rest = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    rest.trim().strip_suffix("kB")?.trim().parse().ok()
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}
