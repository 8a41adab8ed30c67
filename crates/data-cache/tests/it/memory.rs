//! Limits count what results really take.

use std::path::Path;

use data_cache::{Cache, Config, Params, params};

use crate::batches::numbers;
use crate::child::Process;

const SQL: &str = "SELECT n FROM t";
const LIMIT_MB: u64 = 64;

/// MiB that the process has in memory.
fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024
}

/// The role of a child: stores far more than fits, in results of several sizes.
pub(crate) fn weigh(_: &Path) {
    let yaml = format!("query_cache: {{max_size_mb: 0, memory_mb: {LIMIT_MB}}}");
    let cache = Cache::open_with("nowhere", &Config::from_yaml("c", &yaml).unwrap()).unwrap();
    let before = resident_mb();
    let mut most = 0;
    for (rows, count) in [(4 << 17, 250_i64), (1 << 17, 500), (1 << 10, 20_000)] {
        for at in 0..count {
            let values: Vec<i64> = (0..rows).collect();
            let bound = params! { at: at, rows: rows };
            cache.set(SQL, &[numbers(&values)], &bound, None).unwrap();
            if at % 50 == 0 {
                most = most.max(resident_mb() - before.min(resident_mb()));
            }
        }
        let counted = cache.get_stats().memory_bytes >> 20;
        assert!(counted <= LIMIT_MB, "{counted} MiB are counted");
        println!("{rows} rows: {most} MiB at most, {counted} MiB counted");
    }
    assert!(cache.get(SQL, &Params::new()).is_none());
    // a quarter more, and what the test itself holds
    assert!(
        most <= LIMIT_MB + LIMIT_MB / 4 + 16,
        "{most} MiB with a limit of {LIMIT_MB}"
    );
    println!("weighed {most}");
}

#[test]
fn the_limit_of_memory_holds_for_what_the_process_takes() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Process::start("weigh", dir.path());
    let most = child.wait_for("weighed").expect("the child panicked");
    println!("{most} MiB beside a limit of {LIMIT_MB}");
    child.succeeds();
}
