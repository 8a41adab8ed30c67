//! Failures below the cache: each of them is a miss.

use std::fs;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use data_cache::testing::{
    ManualClock, Step, look_at_other_processes_now, on_step, set_largest_inline,
};
use data_cache::{Cache, Config, Lookup, Miss, Params, Skip, Stored};
use sha2::{Digest, Sha256};

use crate::batches::{Random, is_full, number, numbers};
use crate::child::Process;

const SQL: &str = "SELECT n FROM t";

fn value(cache: &Cache) -> Option<i64> {
    let hit = cache.get(SQL, &Params::new());
    hit.map(|hit| number(hit.batches()))
}

fn set(cache: &Cache, value: i64) -> Stored {
    cache
        .set(SQL, &[numbers(&[value])], &Params::new(), Some(3600))
        .unwrap()
}

/// Opens a cache without a memory tier: every lookup reads files.
fn open_files_only(dir: &Path) -> Cache {
    let config = Config::from_yaml("c", "query_cache: {memory_mb: 0}").unwrap();
    Cache::open_with(dir, &config).unwrap()
}

/// Returns the data file and the metadata file of the one entry; the same file twice if it is small.
pub(crate) fn files(dir: &Path) -> (PathBuf, PathBuf) {
    let mut found: Vec<_> = fs::read_dir(dir.join("v1"))
        .unwrap()
        .flat_map(|part| fs::read_dir(part.unwrap().path()).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    found.sort_by_key(|path| path.extension().unwrap() == "json");
    assert!(found.len() <= 2, "{found:?}");
    (found[0].clone(), found.pop().unwrap())
}

const WRITE_STEPS: [Step; 7] = [
    Step::DataHalfWritten,
    Step::DataWritten,
    Step::DataNamed,
    Step::MetadataWritten,
    Step::Committed,
    Step::Journaled,
    Step::OldDataRemoved,
];
const REMOVE_STEPS: [Step; 3] = [
    Step::OrderWritten,
    Step::InvalidationAnnounced,
    Step::MetadataRemoved,
];

/// Values of `set_largest_inline` for an entry in one file, and in two.
const ONE_FILE: usize = 16 << 10;
const TWO_FILES: usize = 0;

/// Role of a child: stores or removes an entry, and stops forever at a step.
pub(crate) fn store_and_stop(dir: &Path, role: &str) {
    let (step, layout) = role.split_once(' ').unwrap();
    let cache = Cache::open(dir).unwrap();
    set_largest_inline(&cache, layout.parse().unwrap());
    // from here on there is a journal, and no background work that a kill could interrupt
    cache.get_stats();
    assert!(cache.flush(Duration::from_secs(20)));
    let stop_at = step.to_owned();
    on_step(&cache, move |step| {
        if format!("{step:?}") == stop_at {
            println!("reached");
            loop {
                std::thread::park();
            }
        }
        Ok(())
    });
    if REMOVE_STEPS
        .iter()
        .any(|remove| format!("{remove:?}") == step)
    {
        cache.invalidate("*").unwrap();
        cache.flush(Duration::from_secs(20));
    } else {
        set(&cache, 2);
    }
    println!("went past {step}");
}

#[test]
fn a_process_killed_at_any_step_leaves_the_old_value_the_new_one_or_none() {
    let both = [TWO_FILES, ONE_FILE];
    let layouts = both.iter().flat_map(|new| {
        let old = [None, Some(*new)].into_iter();
        old.chain((*new == ONE_FILE).then_some(Some(TWO_FILES)))
            .map(move |old| (old, *new))
    });
    for (old, new) in layouts {
        for step in WRITE_STEPS.into_iter().chain(REMOVE_STEPS) {
            let is_reached = match step {
                Step::OldDataRemoved => old == Some(TWO_FILES),
                Step::DataNamed => new == TWO_FILES,
                Step::MetadataRemoved => old.is_some(),
                _ => true,
            };
            if is_reached {
                kill_at(step, old, new);
            }
        }
    }
}

fn kill_at(step: Step, old: Option<usize>, new: usize) {
    let dir = tempfile::tempdir().unwrap();
    if let Some(layout) = old {
        let cache = Cache::open(dir.path()).unwrap();
        set_largest_inline(&cache, layout);
        set(&cache, 1);
    }
    let mut child = Process::start(&format!("store {step:?} {new}"), dir.path());
    assert!(child.wait_for("reached").is_some(), "{step:?}");
    child.kill();
    let expected = match step {
        Step::Committed | Step::Journaled | Step::OldDataRemoved => Some(2),
        Step::InvalidationAnnounced | Step::MetadataRemoved => None,
        _ => old.map(|_| 1),
    };
    let cache = Cache::open(dir.path()).unwrap();
    assert_eq!(value(&cache), expected, "{step:?}, {old:?}, {new}");
    // and its index is complete
    assert!(cache.flush(Duration::from_secs(20)));
    let entries = u64::from(expected.is_some());
    assert_eq!(cache.get_stats().entries, entries, "{step:?}, {old:?}");
    // the cache continues to work
    assert!(matches!(set(&cache, 3), Stored::Kept { .. }), "{step:?}");
    assert_eq!(value(&open_files_only(dir.path())), Some(3));
    assert_eq!(cache.invalidate("*").unwrap(), 1);
    assert_eq!(value(&Cache::open(dir.path()).unwrap()), None);
}

#[test]
fn what_a_dead_writer_left_is_swept_after_an_hour() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    set_largest_inline(&cache, TWO_FILES);
    set(&cache, 1);
    for step in ["DataHalfWritten", "MetadataWritten"] {
        let mut child = Process::start(&format!("store {step} {TWO_FILES}"), dir.path());
        child.wait_for("reached").unwrap();
        child.kill();
    }
    let leftovers = || {
        let parts = fs::read_dir(dir.path().join("v1")).unwrap();
        let data = parts.flat_map(|part| fs::read_dir(part.unwrap().path()).unwrap());
        let temporary = fs::read_dir(dir.path().join("tmp")).unwrap();
        let all: Vec<_> = data.chain(temporary).map(|e| e.unwrap().path()).collect();
        all
    };
    assert_eq!(leftovers().len(), 2 + 3);
    let cache = Cache::open(dir.path()).unwrap();
    cache.get_stats();
    assert!(cache.flush(Duration::from_secs(20)));
    assert_eq!(leftovers().len(), 2 + 3, "they may be of a living writer");
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(2 * 3600);
    for path in leftovers() {
        let file = fs::File::options().append(true).open(path).unwrap();
        file.set_modified(long_ago).unwrap();
    }
    let cache = Cache::open(dir.path()).unwrap();
    assert!(cache.flush(Duration::from_secs(20)));
    assert_eq!(leftovers().len(), 2);
    assert_eq!(value(&cache), Some(1));
}

#[test]
fn no_flipped_byte_and_no_truncation_is_believed() {
    let rounds = if is_full() { 2000 } else { 200 };
    let mut random = Random(11);
    for (codec, layout) in [
        ("parquet", TWO_FILES),
        ("parquet", ONE_FILE),
        ("ipc", TWO_FILES),
        ("ipc", ONE_FILE),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let yaml = format!("query_cache: {{memory_mb: 0, codec: {codec}}}");
        let config = Config::from_yaml("c", &yaml).unwrap();
        let cache = Cache::open_with(dir.path(), &config).unwrap();
        set_largest_inline(&cache, layout);
        let batch = numbers(&(0..500).collect::<Vec<_>>());
        for round in 0..rounds {
            cache
                .set(SQL, std::slice::from_ref(&batch), &Params::new(), None)
                .unwrap();
            let (data, metadata) = files(dir.path());
            let path = if round % 2 == 0 { data } else { metadata };
            let mut bytes = fs::read(&path).unwrap();
            let at = random.below(bytes.len());
            match random.below(3) {
                0 => bytes.truncate(at),
                1 => bytes[at] ^= 1 << random.below(8),
                _ => bytes.insert(at, b'x'),
            }
            fs::write(&path, bytes).unwrap();
            let found = cache.look_up(SQL, &Params::new());
            assert!(
                matches!(found, Lookup::Miss(Miss::Corrupt)),
                "{round}: {found:?}"
            );
            let again = cache.look_up(SQL, &Params::new());
            assert!(
                matches!(again, Lookup::Miss(Miss::Absent)),
                "{round}: {again:?}"
            );
            // leftovers are removed by the sweep
            for part in fs::read_dir(dir.path().join("v1")).unwrap() {
                for file in fs::read_dir(part.unwrap().path()).unwrap() {
                    fs::remove_file(file.unwrap().path()).unwrap();
                }
            }
        }
        assert_eq!(cache.get_stats().corrupt, rounds);
    }
}

/// Changes a member of the metadata and seals it again, as an attacker would.
pub(crate) fn forge(metadata: &Path, member: &str, value: serde_json::Value) {
    let file = fs::read(metadata).unwrap();
    let line = file.iter().position(|byte| *byte == b'\n');
    let (text, data) = file.split_at(line.unwrap_or(file.len()));
    let text = String::from_utf8(text.to_vec()).unwrap();
    let (head, seal) = text.split_at(text.len() - 75);
    assert!(seal.starts_with(",\"seal\":\""), "{seal}");
    let mut json: serde_json::Value = serde_json::from_str(&format!("{head}}}")).unwrap();
    json[member] = value;
    let json = json.to_string();
    let seal: String = Sha256::digest(&json)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let forged = format!("{},\"seal\":\"{seal}\"}}", &json[..json.len() - 1]);
    fs::write(metadata, [forged.as_bytes(), data].concat()).unwrap();
}

#[test]
fn hostile_metadata_is_a_miss_and_leads_nowhere() {
    for layout in [TWO_FILES, ONE_FILE] {
        meet_hostile_metadata(layout);
    }
}

fn meet_hostile_metadata(layout: usize) {
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    fs::write(&victim, "keep me").unwrap();
    let cases: Vec<(&str, serde_json::Value)> = vec![
        ("entry_id", "../../../../etc/passwd".into()),
        ("entry_id", victim.display().to_string().into()),
        ("entry_id", "".into()),
        ("entry_id", "a".repeat(1000).into()),
        ("key", "00".repeat(32).into()),
        ("format", 2.into()),
        ("codec", "pickle".into()),
        ("codec", "ipc".into()),
        ("data_len", u64::MAX.into()),
        ("data_len", 0.into()),
        ("data_xxh3", "".into()),
        ("rows", 7.into()),
        ("inline", (layout == TWO_FILES).into()),
        ("created_at", u64::MAX.into()),
        ("created_at", 0.into()),
        ("created_at", (-1).into()),
        ("ttl_seconds", 0.into()),
        ("sql", serde_json::Value::Null),
        ("tables", "t".into()),
    ];
    let dir = tempfile::tempdir().unwrap();
    let cache = open_files_only(dir.path());
    set_largest_inline(&cache, layout);
    set(&cache, 1);
    // the seal does not stop a forger
    let (_, metadata) = files(dir.path());
    forge(&metadata, "compute_ms", 5.into());
    assert_eq!(value(&cache), Some(1));
    for (member, forged) in cases {
        cache.clear().unwrap();
        set(&cache, 1);
        let (data, metadata) = files(dir.path());
        forge(&metadata, member, forged.clone());
        assert_eq!(value(&cache), None, "{member}: {forged}");
        let _ = fs::remove_file(data);
        assert!(victim.exists());
    }
    for target in [victim.as_path(), Path::new("/dev/zero"), outside.path()] {
        cache.clear().unwrap();
        set(&cache, 1);
        let (data, _) = files(dir.path());
        fs::remove_file(&data).unwrap();
        std::os::unix::fs::symlink(target, &data).unwrap();
        assert_eq!(value(&cache), None);
        let _ = fs::remove_file(&data);
        set(&cache, 1);
        let (data, metadata) = files(dir.path());
        fs::remove_file(&metadata).unwrap();
        std::os::unix::fs::symlink(target, &metadata).unwrap();
        assert_eq!(value(&cache), None);
        let _ = fs::remove_file(&data);
    }
    assert_eq!(fs::read_to_string(&victim).unwrap(), "keep me");
    cache.clear().unwrap();
    set(&cache, 1);
    let (_, metadata) = files(dir.path());
    let huge = fs::File::create(&metadata).unwrap();
    huge.set_len(1 << 30).unwrap();
    assert_eq!(value(&cache), None);
}

/// Puts a pipe or a socket at a path: opening a pipe for reading waits for a writer, and a socket cannot be opened.
fn put(what: &str, path: &Path) {
    let _ = fs::remove_file(path);
    if what == "pipe" {
        let made = Command::new("mkfifo").arg(path).status().unwrap();
        assert!(made.success());
    } else {
        // the path of a socket must be short
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        drop(UnixListener::bind(&socket).unwrap());
        fs::rename(socket, path).unwrap();
    }
}

#[test]
fn a_pipe_or_a_socket_in_place_of_a_file_keeps_nobody_waiting() {
    for what in ["pipe", "socket"] {
        let dir = tempfile::tempdir().unwrap();
        let cache = open_files_only(dir.path());
        set_largest_inline(&cache, TWO_FILES);
        for of_data in [true, false] {
            set(&cache, 1);
            let (data, metadata) = files(dir.path());
            put(what, if of_data { &data } else { &metadata });
            let looked_up = within_seconds({
                let cache = cache.clone();
                move || cache.look_up(SQL, &Params::new())
            });
            assert!(matches!(looked_up, Lookup::Miss(Miss::Corrupt)), "{what}");
            let _ = fs::remove_file(&data);
        }
        set(&cache, 1);
        for name in ["generation", "invalidations.jsonl"] {
            put(what, &dir.path().join(name));
        }
        look_at_other_processes_now(&cache);
        let past = within_seconds(move || {
            let looked_up = cache.look_up(SQL, &Params::new());
            assert!(matches!(looked_up, Lookup::Hit(_)), "{looked_up:?}");
            cache.invalidations().len()
        });
        assert_eq!(past, 0, "{what}");
    }
}

pub(crate) fn within_seconds<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    std::thread::spawn(move || done.send(work()));
    result.recv_timeout(Duration::from_secs(30)).unwrap()
}

#[test]
fn a_full_disk_costs_the_entry_and_nothing_else() {
    for step in &WRITE_STEPS[..4] {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let clock = ManualClock::install(&cache, 1_000_000);
        set_largest_inline(&cache, TWO_FILES);
        set(&cache, 1);
        let full_at = *step;
        on_step(&cache, move |step| {
            if step == full_at {
                return Err(io::Error::from_raw_os_error(28));
            }
            Ok(())
        });
        assert_eq!(set(&cache, 2), Stored::Skipped(Skip::NoSpace), "{step:?}");
        // the result that it should have replaced does not reappear
        assert_eq!(value(&cache), Some(2));
        let reopened = open_files_only(dir.path());
        assert_eq!(value(&reopened), None, "{step:?}");
        // background writes of either cache are files there while they run
        for cache in [&cache, &reopened] {
            assert!(cache.flush(Duration::from_secs(20)));
        }
        let left = fs::read_dir(dir.path().join("tmp")).unwrap().count();
        assert_eq!(left, 0, "{step:?}");
        on_step(&cache, |_| Ok(()));
        assert_eq!(set(&cache, 3), Stored::Skipped(Skip::NoSpace), "it waits");
        clock.advance(30);
        assert!(matches!(set(&cache, 4), Stored::Kept { .. }));
        let again = open_files_only(dir.path());
        ManualClock::install(&again, 1_000_030);
        assert_eq!(value(&again), Some(4));
    }
}

#[test]
fn a_pause_of_writes_has_the_reason_of_the_failure_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let clock = ManualClock::install(&cache, 1_000_000);
    // EIO, ENOSPC, EROFS, EDQUOT
    for (code, expected) in [
        (5, Skip::Io),
        (28, Skip::NoSpace),
        (30, Skip::Io),
        (122, Skip::NoSpace),
    ] {
        on_step(&cache, move |step| match step {
            Step::DataWritten => Err(io::Error::from_raw_os_error(code)),
            _ => Ok(()),
        });
        assert_eq!(set(&cache, 1), Stored::Skipped(expected), "{code}");
        on_step(&cache, |_| Ok(()));
        assert_eq!(set(&cache, 2), Stored::Skipped(expected), "{code}, paused");
        clock.advance(30);
        assert!(matches!(set(&cache, 3), Stored::Kept { .. }), "{code}");
    }
}

#[test]
fn a_slow_write_does_not_replace_a_newer_result() {
    race_a_slow_write(0);
}

#[test]
fn a_slow_write_does_not_replace_a_newer_result_though_the_clock_stepped_back() {
    race_a_slow_write(3);
}

#[test]
fn what_was_set_while_another_result_was_computed_stays() {
    set_while_another_is_computed(10);
}

#[test]
fn what_was_set_in_the_second_in_which_another_result_was_begun_stays() {
    set_while_another_is_computed(0);
}

fn set_while_another_is_computed(seconds: u64) {
    for config in [
        "query_cache: {}",
        "query_cache: {memory_mb: 0}",
        "query_cache: {max_size_mb: 0}",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::from_yaml("c", config).unwrap();
        let cache = Cache::open_with(dir.path(), &config).unwrap();
        let clock = ManualClock::install(&cache, 1_000_000);
        let compute = || {
            clock.advance(seconds);
            assert!(matches!(set(&cache, 2), Stored::Kept { .. }));
            clock.advance(seconds);
            Ok::<_, String>(vec![numbers(&[1])])
        };
        let computed = cache.get_or_compute(SQL, &Params::new(), None, compute);
        assert_eq!(number(&computed.unwrap()), 1);
        assert_eq!(value(&cache), Some(2));
        // the next one begins later
        clock.advance(seconds.min(1));
        cache.invalidate("*").unwrap();
        let compute = || Ok::<_, String>(vec![numbers(&[3])]);
        cache
            .get_or_compute(SQL, &Params::new(), None, compute)
            .unwrap();
        assert_eq!(value(&cache), Some(3));
    }
}

/// Stores a result while an older one is written, and sets the clock back before that write ends.
fn race_a_slow_write(back: u64) {
    for config in ["query_cache: {}", "query_cache: {memory_mb: 0}"] {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::from_yaml("c", config).unwrap();
        let cache = Cache::open_with(dir.path(), &config).unwrap();
        let clock = ManualClock::install(&cache, 1_000_000);
        let (reached, waits) = mpsc::channel();
        let (release, released) = mpsc::channel();
        let slow = Mutex::new(Some((reached, released)));
        on_step(&cache, move |step| {
            let first = match step {
                Step::DataWritten => slow.lock().unwrap().take(),
                _ => None,
            };
            if let Some((reached, released)) = first {
                reached.send(()).unwrap();
                released.recv().unwrap();
            }
            Ok(())
        });
        let older = std::thread::spawn({
            let cache = cache.clone();
            move || set(&cache, 1)
        });
        waits.recv().unwrap();
        clock.advance(1);
        assert!(matches!(set(&cache, 2), Stored::Kept { .. }));
        clock.set(1_000_001 - back);
        release.send(()).unwrap();
        assert_eq!(older.join().unwrap(), Stored::Skipped(Skip::Outdated));
        assert_eq!(value(&cache), Some(2));
        let again = open_files_only(dir.path());
        ManualClock::install(&again, 1_000_001);
        assert_eq!(value(&again), Some(2));
        // the journal is written in the background
        for cache in [&cache, &again] {
            assert!(cache.flush(Duration::from_secs(20)));
        }
        assert_eq!(fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0);
    }
}

/// Role of a child on a file system of 400 KiB.
pub(crate) fn fill_the_disk(dir: &Path) {
    let cache = open_files_only(dir);
    let mut skipped = 0;
    for at in 0..100 {
        let values: Vec<i64> = (0..4000).map(|n| n * 7919 * (at + 1)).collect();
        let params = data_cache::params! { at: at };
        let stored = cache.set(SQL, &[numbers(&values)], &params, None).unwrap();
        let found = cache.get(SQL, &params);
        match stored {
            Stored::Kept { .. } => assert!(found.is_some()),
            Stored::Skipped(Skip::NoSpace) => {
                skipped += 1;
                assert!(found.is_none());
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(skipped > 0);
    cache.clear().unwrap();
    println!("filled");
}

#[test]
fn a_real_full_file_system_is_survived() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    let mount = "mount -t tmpfs -o size=400k tmpfs \"$OPS_TEST_CHILD_DIR\" && echo mounted && exec \"$0\" \"$@\"";
    command
        .args(["--map-root-user", "--mount", "sh", "-c", mount])
        .arg(std::env::current_exe().unwrap());
    let mut child = Process::start_as(&mut command, "fill", dir.path());
    if child.wait_for("mounted").is_none() {
        println!("skipped: this machine allows no mount in a user namespace");
        return;
    }
    assert!(child.wait_for("filled").is_some());
    child.succeeds();
}

#[test]
fn a_directory_that_is_removed_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let cache_dir = dir.path().join("cache");
    let cache = Cache::open(&cache_dir).unwrap();
    set(&cache, 1);
    assert_eq!(cache.get_stats().entries, 1);
    // no background work is running: it creates files
    assert!(cache.flush(Duration::from_secs(20)));
    fs::remove_dir_all(&cache_dir).unwrap();
    look_at_other_processes_now(&cache);
    assert_eq!(value(&cache), None, "whoever removes it means it");
    assert_eq!(cache.invalidate("*").unwrap(), 0);
    assert_eq!(cache.clear().unwrap(), 0);
    assert!(matches!(set(&cache, 2), Stored::Kept { .. }));
    let again = open_files_only(&cache_dir);
    assert_eq!((again.get_stats().entries, value(&again)), (1, Some(2)));
    // replaced by a file
    for cache in [&cache, &again] {
        assert!(cache.flush(Duration::from_secs(20)));
    }
    fs::remove_dir_all(&cache_dir).unwrap();
    fs::write(&cache_dir, "").unwrap();
    assert_eq!(set(&cache, 3), Stored::Skipped(Skip::Io));
    look_at_other_processes_now(&cache);
    cache.clear().unwrap();
    assert_eq!(value(&cache), None);
    cache.get_stats();
}

#[test]
fn files_that_cannot_be_removed_are_not_read_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    set(&cache, 1);
    on_step(&cache, |step| match step {
        Step::MetadataRemoved => Err(io::Error::from_raw_os_error(5)),
        _ => Ok(()),
    });
    let (data, metadata) = files(dir.path());
    let (kept_data, kept_metadata) = (fs::read(&data).unwrap(), fs::read(&metadata).unwrap());
    assert!(cache.invalidate("*").is_err());
    // as if the removal had not happened
    fs::write(&data, kept_data).unwrap();
    fs::write(&metadata, kept_metadata).unwrap();
    assert_eq!(value(&cache), None);
    on_step(&cache, |_| Ok(()));
    cache.clear().unwrap();
    set(&cache, 2);
    assert_eq!(value(&cache), Some(2));
}

#[test]
fn a_small_entry_takes_one_file_and_an_old_one_of_two_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open_files_only(dir.path());
    set_largest_inline(&cache, TWO_FILES);
    set(&cache, 1);
    let (data, metadata) = files(dir.path());
    assert_ne!(data, metadata);
    let cache = open_files_only(dir.path());
    assert_eq!(value(&cache), Some(1));
    set(&cache, 2);
    let (one, same) = files(dir.path());
    assert_eq!(one, same, "the other file is gone");
    assert_eq!(value(&open_files_only(dir.path())), Some(2));
    // larger data is not stored behind its metadata
    let large: Vec<i64> = (0..8000)
        .map(|n: i64| n.wrapping_mul(0x2545_f491_4f6c_dd1d))
        .collect();
    cache
        .set(SQL, &[numbers(&large)], &Params::new(), None)
        .unwrap();
    let (data, metadata) = files(dir.path());
    assert_ne!(data, metadata);
    assert_eq!(value(&open_files_only(dir.path())), Some(0));
}

#[test]
fn a_durable_invalidation_is_on_the_disk_before_it_returns() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::from_yaml("c", "query_cache: {durability: full}").unwrap();
    let cache = Cache::open_with(dir.path(), &config).unwrap();
    let steps = Arc::new(Mutex::new(Vec::new()));
    let seen = steps.clone();
    on_step(&cache, move |step| {
        seen.lock().unwrap().push(step);
        Ok(())
    });
    let taken = || std::mem::take(&mut *steps.lock().unwrap());
    set(&cache, 1);
    taken();
    assert_eq!(cache.invalidate("*").unwrap(), 1);
    let (order, removal) = (Step::OrderWritten, Step::MetadataRemoved);
    let announced = [order, Step::Synced, Step::InvalidationAnnounced];
    let mut found = taken();
    found.retain(|step| [removal, Step::Synced].contains(step) || announced.contains(step));
    assert_eq!(found, [&announced[..], &[removal, Step::Synced]].concat());
    // a replacement that is not stored removes durably, too
    set(&cache, 1);
    taken();
    let none = Params::new();
    cache.set(SQL, &[numbers(&[2])], &none, Some(0)).unwrap();
    assert!(taken().ends_with(&[removal, Step::Synced]));
    // a failed fsync is an error
    set(&cache, 3);
    on_step(&cache, |step| match step {
        Step::Synced => Err(io::Error::from_raw_os_error(5)),
        _ => Ok(()),
    });
    assert!(cache.invalidate("*").is_err());
    assert_eq!(value(&cache), None);
}

#[test]
fn a_clock_that_goes_back_does_not_prolong_the_pause_of_writes() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open_files_only(dir.path());
    let clock = ManualClock::install(&cache, 1_000_000);
    on_step(&cache, |step| match step {
        Step::DataHalfWritten => Err(io::Error::from_raw_os_error(28)),
        _ => Ok(()),
    });
    assert_eq!(set(&cache, 1), Stored::Skipped(Skip::NoSpace));
    on_step(&cache, |_| Ok(()));
    assert!(cache.get_stats().writes_paused);
    clock.set(1_000_000 - 3600);
    assert!(!cache.get_stats().writes_paused);
    set(&cache, 2);
    assert_eq!(value(&cache), Some(2));
}

#[test]
fn an_entry_above_the_limit_of_this_process_is_not_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let open = |yaml| Cache::open_with(dir.path(), &Config::from_yaml("c", yaml).unwrap()).unwrap();
    let small = open("query_cache: {max_size_mb: 1, memory_mb: 0}");
    assert!(small.flush(Duration::from_secs(20)));
    let large = open("query_cache: {max_size_mb: 100, memory_mb: 0}");
    let mut random = Random(7);
    let values: Vec<i64> = (0..200_000).map(|_| random.next() as i64).collect();
    large
        .set(SQL, &[numbers(&values)], &Params::new(), None)
        .unwrap();
    let found = small.look_up(SQL, &Params::new());
    assert!(matches!(found, Lookup::Miss(Miss::Absent)), "{found:?}");
    assert_eq!(value(&large), Some(values[0]));
    assert_eq!(small.get_stats().corrupt, 0);
}
