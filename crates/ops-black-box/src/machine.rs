//! Kernel data about the machine, and about processes that the OOM killer killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Current state of the machine. Values that it does not report are `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) now: u64,
    pub(crate) boot: Option<[u8; 16]>,
    /// Time of the boot, in nanoseconds since 1970.
    pub(crate) booted: Option<u64>,
    pub(crate) group: Option<[u64; 2]>,
    pub(crate) kills: Kills,
}

/// Number of processes that the kernel's OOM killer killed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kills {
    pub(crate) in_group: Option<u64>,
    pub(crate) on_machine: Option<u64>,
}

impl Machine {
    pub(crate) fn current() -> Self {
        let now = nanos(SystemTime::now());
        let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
        let seconds = uptime.split_whitespace().next();
        let uptime = seconds.and_then(|seconds| seconds.parse::<f64>().ok());
        let uptime = uptime.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let group = MemoryGroup::find(Path::new("/"));
        Self {
            now,
            boot: boot_id(),
            booted: uptime.map(|uptime| now.saturating_sub(duration_nanos(uptime))),
            group: group.as_ref().and_then(MemoryGroup::identity),
            kills: Kills::count(group.as_ref()),
        }
    }
}

impl Kills {
    pub(crate) fn count(group: Option<&MemoryGroup>) -> Self {
        let machine = fs::read_to_string("/proc/vmstat").unwrap_or_default();
        Self {
            in_group: group.and_then(MemoryGroup::kills),
            on_machine: field(&machine, "oom_kill"),
        }
    }
}

fn boot_id() -> Option<[u8; 16]> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let number = u128::from_str_radix(&digits, 16).ok()?;
    (digits.len() == 32).then(|| number.to_be_bytes())
}

/// Control group that accounts for the memory of this process.
#[derive(Clone, Debug)]
pub(crate) struct MemoryGroup {
    folder: PathBuf,
    file: &'static str,
}

impl MemoryGroup {
    /// Finds the group, in cgroup version 2 or 1; `root` is the parent directory of `proc` and `sys`.
    pub(crate) fn find(root: &Path) -> Option<Self> {
        let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
        let mount = root.join("sys/fs/cgroup");
        groups.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?);
            let (mounts, files) = match controllers {
                "" => (
                    vec![mount.clone(), mount.join("unified")],
                    &["memory.events.local", "memory.events"][..],
                ),
                names if names.split(',').any(|name| name == "memory") => {
                    (vec![mount.join("memory")], &["memory.oom_control"][..])
                }
                _ => return None,
            };
            // inside a container the path may be the host's; then the group is the mount itself
            let folders = mounts.into_iter().flat_map(|mount| {
                let own = mount.join(path.trim_start_matches('/'));
                [own, mount]
            });
            folders
                .flat_map(|folder| files.iter().map(move |file| (folder.clone(), *file)))
                .map(|(folder, file)| Self { folder, file })
                .find(|group| group.kills().is_some())
        })
    }

    fn kills(&self) -> Option<u64> {
        let text = fs::read_to_string(self.folder.join(self.file)).ok()?;
        field(&text, "oom_kill")
    }

    /// Returns device and inode: a group that was recreated has other ones, and its count starts at zero.
    #[cfg(unix)]
    fn identity(&self) -> Option<[u64; 2]> {
        use std::os::unix::fs::MetadataExt;
        let metadata = fs::metadata(&self.folder).ok()?;
        Some([metadata.dev(), metadata.ino()])
    }

    #[cfg(not(unix))]
    fn identity(&self) -> Option<[u64; 2]> {
        None
    }
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| {
        let rest = line.strip_prefix(name)?;
        rest.strip_prefix(' ')
    })?;
    line.trim().parse().ok()
}

pub(crate) fn nanos(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, duration_nanos)
}

pub(crate) fn duration_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
