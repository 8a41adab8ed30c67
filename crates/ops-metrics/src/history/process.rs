use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::builtin::{
    process_cpu_seconds_total, process_max_fds, process_open_fds, process_resident_memory_bytes,
    process_start_time_seconds, process_threads, process_virtual_memory_bytes,
};
use crate::history::cgroup;

/// Milliseconds of a clock tick in `/proc`: a constant of Linux's user interface.
const TICK_MS: u64 = 10;

/// Minimum difference of a new start time. The kernel derives it from a clock
/// that may be set meanwhile, and a changed start time looks like a restart.
const SAME_START_SECONDS: f64 = 60.0;

/// Reads `/proc`, and the control groups. Values that cannot be read are not reported.
///
/// `root` is the folder that contains `proc` and `sys`.
pub(crate) fn sample(root: &Path) {
    let read = |file| read(root, file);
    let status = read("status");
    if let Some(kibibytes) = field(&status, "VmRSS:") {
        process_resident_memory_bytes().set(kibibytes * 1024.0);
    }
    if let Some(kibibytes) = field(&status, "VmSize:") {
        process_virtual_memory_bytes().set(kibibytes * 1024.0);
    }
    if let Some(threads) = field(&status, "Threads:") {
        process_threads().set(threads);
    }
    if let Ok(open) = fs::read_dir(root.join("proc/self/fd")) {
        process_open_fds().set(open.count().saturating_sub(1) as f64); // one of them is this listing
    }
    if let Some(most) = field(&read("limits"), "Max open files") {
        process_max_fds().set(most);
    }
    times(root);
    cgroup::sample(root);
}

/// Reads a file about this process. The kernel cuts the process name after 15 bytes, possibly within a character.
fn read(root: &Path, file: &str) -> String {
    let bytes = fs::read(root.join("proc/self").join(file)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns the processor time of the process so far, in steps of 10 ms.
pub(crate) fn cpu_time() -> Option<Duration> {
    cpu_time_of(&stat_fields(Path::new("/"))?)
}

fn cpu_time_of(fields: &[u64]) -> Option<Duration> {
    let ticks = fields.get(11)? + fields.get(12)?;
    Some(Duration::from_millis(ticks * TICK_MS))
}

/// Returns the fields of `stat` after the name (proc_pid_stat(5)): field 3 is the first one.
fn stat_fields(root: &Path) -> Option<Vec<u64>> {
    let stat = read(root, "stat");
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields = after_name.split_whitespace();
    Some(fields.map(|field| field.parse().unwrap_or(0)).collect())
}

/// Publishes processor time and start: fields 14, 15 and 22.
fn times(root: &Path) {
    let Some(fields) = stat_fields(root) else {
        return;
    };
    if let Some(time) = cpu_time_of(&fields) {
        process_cpu_seconds_total().absolute(time);
    }
    let boot = field(
        &fs::read_to_string(root.join("proc/stat")).unwrap_or_default(),
        "btime",
    );
    if let (Some(boot), Some(ticks)) = (boot, fields.get(19)) {
        let start = boot + Duration::from_millis(ticks * TICK_MS).as_secs_f64();
        let known = process_start_time_seconds();
        if (start - known.get()).abs() >= SAME_START_SECONDS {
            known.set(start);
        }
    }
}

fn field(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
