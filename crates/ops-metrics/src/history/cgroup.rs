use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::builtin::{
    cgroup_cpu_limit_cores, cgroup_cpu_periods_total, cgroup_cpu_throttled_periods_total,
    cgroup_cpu_throttled_seconds_total, cgroup_memory_limit_bytes, cgroup_memory_usage_bytes,
    cgroup_memory_working_set_bytes, cgroup_oom_kills_total,
};

/// Version 1 writes "no limit" as the largest multiple of a page; no machine has as much.
const NO_LIMIT_FROM: u64 = 1 << 60;

/// Reads the control groups, version 1 and 2, that this process is in. What they do not report is left alone.
///
/// `root` is where `proc` and `sys` are.
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
            // a machine that has both versions mounts the second one apart
            let group = [mount.clone(), mount.join("unified")]
                .into_iter()
                .find_map(|mount| Group::find(&mount, path, "cgroup.controllers"));
            group.inspect(Group::sample_v2);
        } else {
            for controller in controllers.split(',') {
                let mount = mount.join(controller);
                match controller {
                    "memory" => {
                        Group::find(&mount, path, "memory.limit_in_bytes")
                            .inspect(Group::sample_memory_v1);
                    }
                    "cpu" => {
                        Group::find(&mount, path, "cpu.stat").inspect(Group::sample_cpu_v1);
                    }
                    _ => {}
                }
            }
        }
    }
}

/// A control group and those it is in, whose limits hold for it too.
struct Group {
    folders: Vec<PathBuf>,
}

impl Group {
    /// Finds the folders of the group, innermost first. Inside of a container the path may be the host's, and the group is the
    /// mount itself.
    fn find(mount: &Path, path: &str, witness: &str) -> Option<Self> {
        let own = mount.join(path.trim_start_matches('/'));
        let folders = own
            .ancestors()
            .take_while(|folder| folder.starts_with(mount));
        let folders = folders.filter(|folder| folder.join(witness).exists());
        let folders: Vec<PathBuf> = folders.map(Path::to_path_buf).collect();
        (!folders.is_empty()).then_some(Self { folders })
    }

    /// Reads a file of the group itself.
    fn own(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.folders.first()?.join(file)).ok()
    }

    /// Returns the smallest of the limits that the group and those around it have.
    fn least<T: PartialOrd>(&self, file: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let texts = self.folders.iter();
        let texts = texts.filter_map(|folder| fs::read_to_string(folder.join(file)).ok());
        let limits = texts.filter_map(|text| read(text.trim()));
        limits.reduce(|least, next| if next < least { next } else { least })
    }

    fn sample_v2(&self) {
        set_memory(
            self.own("memory.current"),
            field(
                &self.own("memory.stat").unwrap_or_default(),
                "inactive_file",
            ),
            self.least("memory.max", |text| text.parse().ok()),
        );
        let events = self.own("memory.events").unwrap_or_default();
        if let Some(kills) = field(&events, "oom_kill") {
            cgroup_oom_kills_total().absolute(kills);
        }
        let cores = self.least("cpu.max", |text| {
            let (quota, period) = text.split_once(' ')?;
            cores(quota.parse().ok()?, period.parse().ok()?)
        });
        let stat = self.own("cpu.stat").unwrap_or_default();
        set_cpu(cores, &stat, |stat| {
            field(stat, "throttled_usec").map(Duration::from_micros)
        });
    }

    fn sample_memory_v1(&self) {
        set_memory(
            self.own("memory.usage_in_bytes"),
            field(
                &self.own("memory.stat").unwrap_or_default(),
                "total_inactive_file",
            ),
            self.least("memory.limit_in_bytes", |text| text.parse().ok()),
        );
        let control = self.own("memory.oom_control").unwrap_or_default();
        if let Some(kills) = field(&control, "oom_kill") {
            cgroup_oom_kills_total().absolute(kills);
        }
    }

    fn sample_cpu_v1(&self) {
        let cores = self.folders.iter().filter_map(|folder| {
            let read = |file| fs::read_to_string(folder.join(file)).ok();
            let quota = read("cpu.cfs_quota_us")?.trim().parse().ok()?;
            cores(quota, read("cpu.cfs_period_us")?.trim().parse().ok()?)
        });
        let cores = cores.reduce(f64::min);
        let stat = self.own("cpu.stat").unwrap_or_default();
        set_cpu(cores, &stat, |stat| {
            field(stat, "throttled_time").map(Duration::from_nanos)
        });
    }
}

fn set_memory(usage: Option<String>, reclaimable: Option<u64>, limit: Option<u64>) {
    if let Some(bytes) = usage.and_then(|text| text.trim().parse::<u64>().ok()) {
        cgroup_memory_usage_bytes().set(bytes as f64);
        if let Some(reclaimable) = reclaimable {
            cgroup_memory_working_set_bytes().set(bytes.saturating_sub(reclaimable) as f64);
        }
    }
    if let Some(bytes) = limit.filter(|bytes| *bytes < NO_LIMIT_FROM) {
        cgroup_memory_limit_bytes().set(bytes as f64);
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

/// Microseconds in each period; a quota below 0 is none.
fn cores(quota: i64, period: i64) -> Option<f64> {
    (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}
