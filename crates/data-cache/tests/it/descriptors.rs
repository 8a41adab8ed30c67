//! A process that temporarily has no free file descriptor.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use data_cache::testing::{Step, look_at_other_processes_now, on_step};
use data_cache::{Cache, Config, Lookup, Miss, Params, Tier};
use parking_lot::Mutex;

use crate::batches::numbers;
use crate::child::Process;

/// Takes every file descriptor that the process may open, except `free`.
fn take_all_but(free: usize) -> Vec<File> {
    let mut taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    taken.truncate(taken.len() - free);
    taken
}

fn start(role: &str, dir: &Path) -> Process {
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap());
    Process::start_as(&mut command, role, dir)
}

fn open(dir: &Path) -> Cache {
    let config = Config::from_yaml("c", "query_cache: {memory_mb: 0}").unwrap();
    Cache::open_with(dir, &config).unwrap()
}

const OTHER: &str = "SELECT n FROM u";

/// Role of a child that may have 64 descriptors.
pub(crate) fn invalidate_without(dir: &Path) {
    // files of many entries are removed in the background
    for entries in [1, 300] {
        for free in 0..4 {
            let dir = dir.join(format!("{entries} {free}"));
            invalidate_with(free, &dir, entries);
        }
    }
    println!("invalidated");
}

fn invalidate_with(free: usize, dir: &Path, entries: usize) {
    let cache = &open(dir);
    let none = Params::new();
    let meant: Vec<_> = (0..entries)
        .map(|at| format!("SELECT {at} FROM t"))
        .collect();
    for sql in meant.iter().map(String::as_str).chain([OTHER]) {
        cache.set(sql, &[numbers(&[1])], &none, None).unwrap();
    }
    // no background work has descriptors or the lock
    assert!(cache.flush(Duration::from_secs(20)));
    let taken = Arc::new(Mutex::new(Vec::new()));
    let at_step = taken.clone();
    on_step(cache, move |step| {
        if step == Step::InvalidationAnnounced {
            *at_step.lock() = take_all_but(free);
        }
        Ok(())
    });
    let invalidated = cache.invalidate("select * from t");
    assert!(cache.flush(Duration::from_secs(20)));
    taken.lock().extend(take_all_but(0));
    let missed = cache.look_up(OTHER, &none);
    taken.lock().clear();
    match invalidated {
        Ok(removed) => {
            assert_eq!(removed, entries);
            assert!(matches!(missed, Lookup::Miss(Miss::Io)), "{missed:?}");
            assert!(cache.get(OTHER, &none).is_some());
        }
        Err(error) => assert!(error.to_string().contains("open files"), "{error}"),
    }
    for cache in [cache, &open(dir)] {
        look_at_other_processes_now(cache);
        let served = meant.iter().filter(|sql| cache.get(sql, &none).is_some());
        assert_eq!(served.count(), 0, "{entries} {free}");
    }
}

/// Role of a child that may have 64 descriptors.
pub(crate) fn hit_without(dir: &Path) {
    let (cache, other) = (Cache::open(dir).unwrap(), Cache::open(dir).unwrap());
    let none = Params::new();
    on_step(&cache, |_| Err(std::io::Error::other("no file")));
    // in memory only
    cache.set(OTHER, &[numbers(&[1])], &none, None).unwrap();
    let tier = || {
        let taken = take_all_but(0);
        look_at_other_processes_now(&cache);
        let hit = cache.get(OTHER, &none);
        drop(taken);
        hit.map(|hit| hit.tier())
    };
    assert_eq!(tier(), Some(Tier::Memory));
    other.invalidate("*").unwrap();
    assert_eq!(tier(), None);
    println!("hit");
}

#[test]
fn memory_answers_without_a_descriptor_left_until_it_is_invalidated() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = start("descriptors hit", dir.path());
    assert!(child.wait_for("hit").is_some());
    child.succeeds();
}

#[test]
fn what_was_invalidated_without_a_descriptor_left_is_never_served() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = start("descriptors", dir.path());
    assert!(child.wait_for("invalidated").is_some());
    child.succeeds();
}
