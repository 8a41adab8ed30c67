//! A process that cannot start threads.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use data_cache::testing::look_at_other_processes_now;
use data_cache::{Cache, Params};

use crate::batches::{number, numbers};
use crate::child::Process;

const SQL: &str = "SELECT n FROM t";
const OTHER: &str = "SELECT n FROM u";

/// Role of a child whose threads would need a larger stack than is available.
pub(crate) fn notice_without(dir: &Path) {
    assert!(std::thread::Builder::new().spawn(|| ()).is_err());
    let (cache, other) = (Cache::open(dir).unwrap(), Cache::open(dir).unwrap());
    let none = Params::new();
    let set = |sql: &str, value| {
        let kept = cache.set(sql, &[numbers(&[value])], &none, None);
        kept.unwrap();
    };
    let value = |sql: &str| {
        look_at_other_processes_now(&cache);
        cache.get(sql, &none).map(|hit| number(hit.batches()))
    };
    set(SQL, 1);
    set(OTHER, 2);
    assert_eq!((value(SQL), value(OTHER)), (Some(1), Some(2)));
    other.invalidate(SQL).unwrap();
    assert_eq!((value(SQL), value(OTHER)), (None, Some(2)));

    // an older copy of the directory, and a damaged one
    let count = dir.join("generation");
    let older = fs::read(&count).unwrap();
    other.invalidate(SQL).unwrap();
    assert_eq!(value(OTHER), Some(2));
    for bytes in [older, vec![0; 56]] {
        set(OTHER, 3);
        assert_eq!(value(OTHER), Some(3));
        fs::write(&count, bytes).unwrap();
        assert_eq!(value(SQL), None);
        assert!(cache.flush(Duration::from_secs(20)));
        set(OTHER, 4);
        assert_eq!(value(OTHER), Some(4));
    }
    println!("noticed");
}

#[test]
fn invalidations_of_others_are_noticed_without_a_thread() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    let command = command.env("RUST_MIN_STACK", (1_u64 << 50).to_string());
    let mut child = Process::start_as(command, "threads", dir.path());
    assert!(child.wait_for("noticed").is_some());
    child.succeeds();
}
