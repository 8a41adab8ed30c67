use std::fs;

use crate::catalog::{
    process_open_fds, process_resident_memory_bytes, process_start_time_seconds, process_threads,
};

/// Clock ticks a second in `/proc`: a constant of the Linux user interface.
const TICKS: f64 = 100.0;

/// Reads `/proc`; elsewhere the gauges stay 0.
pub(crate) fn sample() {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(kibibytes) = field(&status, "VmRSS:") {
        process_resident_memory_bytes().set(kibibytes * 1024.0);
    }
    if let Some(threads) = field(&status, "Threads:") {
        process_threads().set(threads);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        process_open_fds().set(open.count() as f64);
    }
    if let Some(start) = start() {
        process_start_time_seconds().set(start);
    }
}

fn start() -> Option<f64> {
    let boot = field(&fs::read_to_string("/proc/stat").ok()?, "btime")?;
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let ticks: f64 = after_name.split_whitespace().nth(19)?.parse().ok()?;
    Some(boot + ticks / TICKS)
}

fn field(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
