//! Results that were replaced, removed or invalidated are not served, whatever happens to the directory.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use data_cache::testing::{ManualClock, Step, look_at_other_processes_now, on_step};
use data_cache::{Cache, Config, ErrorKind, Lookup, Miss, Params, Skip, Stored, Tier};

use crate::batches::{number, numbers};
use crate::cache::Lines;

const SQL: &str = "SELECT n FROM t";

fn value(cache: &Cache) -> Option<i64> {
    let hit = cache.get(SQL, &Params::new());
    hit.map(|hit| number(hit.batches()))
}

fn set(cache: &Cache, value: i64) -> Stored {
    let stored = cache.set(SQL, &[numbers(&[value])], &Params::new(), Some(3600));
    stored.unwrap()
}

fn open_files_only(dir: &Path) -> Cache {
    let config = Config::from_yaml("c", "query_cache: {memory_mb: 0}").unwrap();
    Cache::open_with(dir, &config).unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => {
                fs::copy(entry.path(), target).unwrap();
            }
        }
    }
}

#[test]
fn a_replacement_that_is_not_stored_removes_what_it_was_to_replace() {
    let none = Params::new();
    let large = numbers(&(0..40_000_000 / 8).collect::<Vec<_>>());
    for yaml in [
        "query_cache: {memory_mb: 0, max_size_mb: 4}",
        "query_cache: {memory_mb: 4, max_size_mb: 0}",
        "query_cache: {memory_mb: 4, max_size_mb: 4}",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::from_yaml("c", yaml).unwrap();
        let cache = Cache::open_with(dir.path(), &config).unwrap();
        let replace: [&dyn Fn() -> Stored; 3] = [
            &|| cache.set(SQL, &[numbers(&[2])], &none, Some(0)).unwrap(),
            &|| cache.set(SQL, &[], &none, Some(60)).unwrap(),
            &|| {
                cache
                    .set(SQL, std::slice::from_ref(&large), &none, Some(60))
                    .unwrap()
            },
        ];
        for (at, replace) in replace.iter().enumerate() {
            assert!(matches!(set(&cache, 1), Stored::Kept { .. }));
            assert_eq!(value(&cache), Some(1));
            let stored = replace();
            assert!(
                matches!(stored, Stored::Skipped(_)),
                "{yaml} {at}: {stored:?}"
            );
            assert_eq!(value(&cache), None, "{yaml} {at}");
            assert_eq!(cache.get_stats().entries, 0, "{yaml} {at}");
            if yaml.contains("max_size_mb: 4") {
                assert_eq!(value(&open_files_only(dir.path())), None, "{yaml} {at}");
            }
        }
    }
}

#[test]
fn an_invalidation_that_leaves_something_to_serve_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, other) = (
        Cache::open(dir.path()).unwrap(),
        open_files_only(dir.path()),
    );
    let calls: [&dyn Fn() -> Result<usize, data_cache::Error>; 3] =
        [&|| cache.clear(), &|| cache.invalidate("*"), &|| {
            cache.invalidate_table("t")
        }];
    for call in calls {
        set(&cache, 1);
        on_step(&cache, |step| match step {
            Step::MetadataRemoved => Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem)),
            _ => Ok(()),
        });
        let error = call().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert_eq!(value(&cache), None);
        on_step(&cache, |_| Ok(()));
        cache.clear().unwrap();
        set(&cache, 2);
        assert_eq!((value(&cache), value(&other)), (Some(2), Some(2)));
    }
    // no process can write: neither the count nor the removal reaches other processes
    assert!(cache.flush(Duration::from_secs(20)) && other.flush(Duration::from_secs(20)));
    let generation = dir.path().join("generation");
    fs::remove_file(&generation).unwrap();
    fs::create_dir(&generation).unwrap();
    for call in calls {
        assert_eq!(call().unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(value(&cache), None);
    }
    fs::remove_dir(&generation).unwrap();
    cache.clear().unwrap();
    assert_eq!(value(&other), None);
}

#[test]
fn a_table_is_invalidated_by_its_name_in_any_form_or_the_call_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    for name in [
        "orders",
        "ORDERS",
        "main.orders",
        "\"orders\"",
        "\"Orders\"",
        "orders ",
        " main . \"ORDERS\"\n",
        "db.main.orders",
    ] {
        for sql in ["SELECT * FROM orders", "SELECT count(*) FROM main.Orders"] {
            cache
                .set(sql, &[numbers(&[1])], &Params::new(), None)
                .unwrap();
        }
        cache
            .set(
                "SELECT * FROM orders_archive",
                &[numbers(&[1])],
                &Params::new(),
                None,
            )
            .unwrap();
        assert_eq!(cache.invalidate_table(name).unwrap(), 2, "{name:?}");
    }
    for name in [
        "",
        " ",
        "orders;",
        "a b",
        "main.",
        ".orders",
        "'orders'",
        "orders, users",
        "\"orders",
        "1",
    ] {
        let error = cache.invalidate_table(name).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input, "{name:?}");
    }
}

#[test]
fn a_pattern_finds_a_text_with_other_line_breaks_or_semicolons() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let none = Params::new();
    for (sql, one_line, pattern) in [
        (
            "SELECT 'x'\nFROM t",
            "SELECT 'x' FROM t",
            "SELECT 'x' FROM t",
        ),
        (
            "SELECT 'x' AS a,\n  'y'\n\nFROM t",
            "SELECT 'x' AS a, 'y' FROM t",
            "*'y' FROM*",
        ),
        (
            "SELECT 1 /* c */\nFROM t",
            "SELECT 1 /* c */ FROM t",
            "SELECT 1 /* c */ FROM t",
        ),
        (
            "SELECT 1 -- c\n  FROM t",
            "SELECT 1 -- c\nFROM t",
            "SELECT 1 -- c FROM t",
        ),
        (
            "SELECT 'x'\n'y'\nFROM t",
            "SELECT 'x'\n'y' FROM t",
            "select 'x' 'y' from t",
        ),
        // dialects read it differently, so it is left unchanged
        (
            "SELECT [1,  2]\nFROM t",
            "SELECT [1,  2]\nFROM t",
            "SELECT [1, 2] FROM t",
        ),
        ("SELECT [1, 2];", "SELECT [1, 2];", "SELECT [1, 2];"),
        ("SELECT [1, 2] ;\n", "SELECT [1, 2] ;\n", "select [1, 2]"),
        (";SELECT [1];", ";SELECT [1];", "SELECT [?]"),
        ("SELECT [1]", "SELECT [1]", ";SELECT [1];;"),
        ("SELECT [1] -- ;", "SELECT [1] -- ;", "SELECT [1] -- ;"),
        ("SELECT 1;", "SELECT 1", "SELECT 1;"),
    ] {
        cache.set(sql, &[numbers(&[1])], &none, None).unwrap();
        assert!(cache.get(one_line, &none).is_some(), "{sql:?} {one_line:?}");
        assert_eq!(cache.invalidate(pattern).unwrap(), 1, "{sql:?} {pattern:?}");
        assert!(cache.get(sql, &none).is_none());
    }
}

#[test]
fn a_directory_that_goes_back_to_an_older_copy_is_cleared() {
    let dir = tempfile::tempdir().unwrap();
    let (live, backup) = (dir.path().join("live"), dir.path().join("backup"));
    for memory_mb in [0, 64] {
        let config = Config::from_yaml("c", &format!("query_cache: {{memory_mb: {memory_mb}}}"));
        let cache = Cache::open_with(&live, &config.unwrap()).unwrap();
        set(&cache, 1);
        // no background work is running: it replaces files
        assert!(cache.flush(Duration::from_secs(20)));
        copy(&live, &backup);
        assert_eq!(cache.invalidate("*").unwrap(), 1);
        assert!(cache.flush(Duration::from_secs(20)));
        fs::remove_dir_all(&live).unwrap();
        fs::rename(&backup, &live).unwrap();
        look_at_other_processes_now(&cache);
        assert_eq!(value(&cache), None, "what was invalidated is served again");
        assert!(cache.flush(Duration::from_secs(20)));
        let again = open_files_only(&live);
        assert_eq!(value(&again), None, "it lies there still");
        assert!(again.flush(Duration::from_secs(20)));
        assert!(matches!(set(&cache, 2), Stored::Kept { .. }));
        let again = open_files_only(&live);
        assert_eq!((value(&cache), value(&again)), (Some(2), Some(2)));
        assert!(again.flush(Duration::from_secs(20)) && cache.flush(Duration::from_secs(20)));
        fs::remove_dir_all(&live).unwrap();
    }
}

#[test]
fn a_result_computed_before_an_invalidation_is_not_kept_in_a_directory_that_was_removed() {
    let dir = tempfile::tempdir().unwrap();
    let live = dir.path().join("live");
    let (cache, other) = (open_files_only(&live), open_files_only(&live));
    for cache in [&cache, &other] {
        assert!(cache.flush(Duration::from_secs(20)));
    }
    let computed = cache.get_or_compute(SQL, &Params::new(), None, || {
        other.invalidate("*").unwrap();
        assert!(other.flush(Duration::from_secs(20)));
        fs::remove_dir_all(&live).unwrap();
        Ok::<_, String>(vec![numbers(&[1])])
    });
    assert_eq!(number(&computed.unwrap()), 1);
    for cache in [&cache, &other, &open_files_only(&live)] {
        look_at_other_processes_now(cache);
        assert_eq!(value(cache), None);
    }
    // the directory, which is new to them, is cleared in the background
    for cache in [&cache, &other] {
        assert!(cache.flush(Duration::from_secs(20)));
        look_at_other_processes_now(cache);
        assert_eq!(value(cache), None);
    }
    assert!(matches!(set(&cache, 2), Stored::Kept { .. }));
    assert_eq!(value(&other), Some(2));
}

#[test]
fn a_lock_held_forever_does_not_block_lookups() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    set(&cache, 1);
    let held = fs::File::options()
        .read(true)
        .write(true)
        .open(dir.path().join("generation"))
        .unwrap();
    held.lock().unwrap();
    let start = Instant::now();
    for at in 0..60 {
        let sql = format!("SELECT {at} AS n");
        let answer = cache.get_or_compute(&sql, &Params::new(), None, || {
            Ok::<_, String>(vec![numbers(&[at])])
        });
        assert_eq!(number(&answer.unwrap()), at);
    }
    // one of them waited for the lock, the others do not write files for a while
    println!("60 answers beside a held lock: {:?}", start.elapsed());
    // if each of them waited, it would take a minute
    assert!(start.elapsed() < Duration::from_secs(50));
    assert_eq!(set(&cache, 2), Stored::Skipped(Skip::Io));
    let start = Instant::now();
    let error = cache.invalidate("*").unwrap_err();
    assert!(error.to_string().contains("lock"), "{error}");
    assert_eq!(value(&cache), None);
    assert!(start.elapsed() < Duration::from_secs(50));
    drop(held);
    cache.clear().unwrap();
    assert_eq!(value(&open_files_only(dir.path())), None);
}

#[test]
fn a_file_that_could_not_be_removed_is_not_read_and_others_are() {
    let none = Params::new();
    let other = "SELECT n FROM u";
    for is_set in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let cache = open_files_only(dir.path());
        set(&cache, 1);
        cache.set(other, &[numbers(&[7])], &none, None).unwrap();
        let held = fs::File::open(dir.path().join("generation")).unwrap();
        held.lock().unwrap();
        // waits for the lock for a second
        let stored = cache.set(SQL, &[numbers(&[2])], &none, Some(0)).unwrap();
        assert_eq!(stored, Stored::Skipped(Skip::ZeroTtl));
        assert_eq!(value(&cache), None);
        assert!(cache.get(other, &none).is_some());
        drop(held);
        if is_set {
            set(&cache, 3);
        }
        let left = is_set.then_some(3);
        assert_eq!(value(&cache), left);
        assert_eq!(value(&open_files_only(dir.path())), left);
        assert_eq!(cache.get_stats().entries, 1 + u64::from(is_set));
        set(&cache, 4);
        assert_eq!(value(&cache), Some(4));
    }
}

#[test]
fn an_expired_entry_whose_file_could_not_be_removed_is_invalidated_all_the_same() {
    for yaml in ["query_cache: {}", "query_cache: {memory_mb: 0}"] {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::from_yaml("c", yaml).unwrap();
        let cache = Cache::open_with(dir.path(), &config).unwrap();
        let clock = ManualClock::install(&cache, 1_000_000);
        set(&cache, 1);
        // all of the journal has been read
        assert_eq!(cache.get_stats().entries, 1);
        clock.advance(3600);
        let held = fs::File::open(dir.path().join("generation")).unwrap();
        held.lock().unwrap();
        assert_eq!(value(&cache), None);
        drop(held);
        assert_eq!(cache.invalidate("SELECT n*").unwrap(), 1, "{yaml}");
        // the clock was wrong
        clock.set(1_000_010);
        assert_eq!(value(&cache), None, "{yaml}");
        assert_eq!(value(&open_files_only(dir.path())), None);
        assert_eq!(cache.get_stats().total_size_bytes, 0);
    }
}

#[test]
fn the_files_of_the_directory_are_for_its_owner_and_no_links_are_followed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cache");
    drop(Cache::open(&path).unwrap());
    let mode = |name: &str| fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("generation"), mode("")), (0o600, 0o700));
    let victim = dir.path().join("victim");
    fs::write(&victim, "data-cache 1\n").unwrap();
    let fifo = |at: &Path| {
        let made = std::process::Command::new("mkfifo")
            .arg(at)
            .status()
            .unwrap();
        assert!(made.success());
    };
    let make: [&dyn Fn(&Path); 4] = [
        &|at| std::os::unix::fs::symlink(&victim, at).unwrap(),
        &|at| std::os::unix::fs::symlink("/dev/zero", at).unwrap(),
        &|at| fifo(at),
        &|at| fs::create_dir(at).unwrap(),
    ];
    for make in make {
        let path = tempfile::tempdir().unwrap();
        let opened = Cache::open(path.path()).unwrap();
        assert!(opened.flush(Duration::from_secs(20)));
        let format = path.path().join("FORMAT");
        fs::remove_file(&format).unwrap();
        make(&format);
        let error = Cache::open(path.path()).unwrap_err();
        assert!(error.to_string().contains("regular"), "{error}");

        let path = tempfile::tempdir().unwrap();
        let cache = open_files_only(path.path());
        set(&cache, 1);
        assert!(cache.flush(Duration::from_secs(20)));
        let generation = path.path().join("generation");
        fs::remove_file(&generation).unwrap();
        make(&generation);
        assert!(matches!(set(&cache, 2), Stored::Skipped(_)));
        assert!(cache.invalidate("*").is_err());
        look_at_other_processes_now(&cache);
        assert_eq!(value(&cache), None);
    }
    assert_eq!(fs::read_to_string(&victim).unwrap(), "data-cache 1\n");
}

#[test]
fn zeros_that_a_power_cut_left_are_no_count_and_no_format() {
    let open = |zeros: &[&str]| {
        let path = tempfile::tempdir().unwrap();
        let cache = open_files_only(path.path());
        set(&cache, 1);
        assert!(cache.flush(Duration::from_secs(20)));
        drop(cache);
        for name in zeros {
            let file = path.path().join(name);
            let length = fs::read(&file).unwrap().len();
            fs::write(&file, vec![0; length]).unwrap();
        }
        (open_files_only(path.path()), path)
    };
    // earlier invalidations are unknown
    let (cache, _path) = open(&["generation"]);
    assert_eq!(value(&cache), None);
    cache.invalidate(SQL).unwrap();
    assert_eq!(value(&cache), None);
    set(&cache, 2);
    assert_eq!(value(&cache), Some(2));
    cache.invalidate(SQL).unwrap();
    assert_eq!(value(&cache), None);
    let (cache, path) = open(&["FORMAT", "CACHEDIR.TAG"]);
    assert_eq!(value(&cache), Some(1));
    let read = |name: &str| fs::read_to_string(path.path().join(name)).unwrap();
    assert_eq!(read("FORMAT"), "data-cache 1\n");
    assert!(read("CACHEDIR.TAG").starts_with("Signature: "));
    // a file written by others stays, also if FORMAT is rewritten
    drop(cache);
    fs::write(path.path().join("CACHEDIR.TAG"), "theirs").unwrap();
    for format in [&b""[..], &[0; 13]] {
        fs::write(path.path().join("FORMAT"), format).unwrap();
        assert_eq!(value(&open_files_only(path.path())), Some(1));
        assert_eq!(read("FORMAT"), "data-cache 1\n");
        assert_eq!(read("CACHEDIR.TAG"), "theirs");
    }
}

#[test]
fn a_damaged_count_hides_no_invalidation() {
    const BYTES: usize = 56;
    let flips = (0..BYTES).flat_map(|at| [(at, 0x01), (at, 0x40)]);
    for damaged in flips.map(Some).chain([None]) {
        let path = tempfile::tempdir().unwrap();
        let cache = open_files_only(path.path());
        set(&cache, 1);
        cache.invalidate("SELECT other").unwrap();
        assert!(cache.flush(Duration::from_secs(20)));
        drop(cache);
        let file = path.path().join("generation");
        let mut bytes = fs::read(&file).unwrap();
        assert_eq!(bytes.len(), BYTES);
        match damaged {
            Some((at, bit)) => bytes[at] ^= bit,
            None => bytes.fill(0xff),
        }
        fs::write(&file, bytes).unwrap();
        let cache = open_files_only(path.path());
        cache.invalidate(SQL).unwrap();
        assert_eq!(value(&cache), None, "{damaged:?}");
        set(&cache, 2);
        assert_eq!(value(&cache), Some(2), "{damaged:?}");
        cache.invalidate(SQL).unwrap();
        assert_eq!(value(&cache), None, "{damaged:?}");
    }
}

#[test]
fn a_damaged_count_is_made_anew_by_whoever_looks_at_it() {
    let path = tempfile::tempdir().unwrap();
    let cache = Cache::open(path.path()).unwrap();
    set(&cache, 1);
    assert!(cache.flush(Duration::from_secs(20)));
    let file = path.path().join("generation");
    fs::write(&file, [0xff; 56]).unwrap();
    look_at_other_processes_now(&cache);
    value(&cache);
    assert!(cache.flush(Duration::from_secs(20)));
    assert_ne!(fs::read(&file).unwrap(), [0xff; 56]);
    // results computed meanwhile are stored, in memory as well
    assert!(matches!(set(&cache, 2), Stored::Kept { .. }));
    look_at_other_processes_now(&cache);
    let hit = cache.get(SQL, &Params::new()).unwrap();
    assert_eq!((number(hit.batches()), hit.tier()), (2, Tier::Memory));
}

#[test]
fn an_older_copy_that_comes_while_a_damaged_count_is_made_anew_is_cleared() {
    let path = tempfile::tempdir().unwrap();
    let cache = open_files_only(path.path());
    set(&cache, 1);
    assert!(cache.flush(Duration::from_secs(20)));
    let older = tempfile::tempdir().unwrap();
    copy(path.path(), older.path());
    cache.invalidate(SQL).unwrap();
    assert!(cache.flush(Duration::from_secs(20)));

    let file = path.path().join("generation");
    let lock = fs::File::open(&file).unwrap();
    lock.lock().unwrap();
    fs::write(&file, [0; 56]).unwrap();
    look_at_other_processes_now(&cache);
    assert_eq!(value(&cache), None);
    copy(older.path(), path.path());
    lock.unlock().unwrap();
    assert!(cache.flush(Duration::from_secs(20)));
    look_at_other_processes_now(&cache);
    assert_eq!(value(&cache), None);
}

#[test]
fn looks_at_a_damaged_count_do_not_queue_for_the_lock_of_the_directory() {
    let path = tempfile::tempdir().unwrap();
    let cache = open_files_only(path.path());
    let file = path.path().join("generation");
    let lock = fs::File::open(&file).unwrap();
    lock.lock().unwrap();
    fs::write(&file, [0; 56]).unwrap();
    // each waits for the lock for a second, and there are 32 threads
    for _ in 0..300 {
        look_at_other_processes_now(&cache);
        assert_eq!(value(&cache), None);
    }
    assert!(cache.flush(Duration::from_secs(5)));
    lock.unlock().unwrap();
    look_at_other_processes_now(&cache);
    assert_eq!(value(&cache), None);
    assert!(cache.flush(Duration::from_secs(20)));
    assert!(matches!(set(&cache, 1), Stored::Kept { .. }));
    assert_eq!(value(&cache), Some(1));
}

#[test]
fn a_damaged_count_hides_no_invalidation_whose_files_are_still_there() {
    for is_opened in [false, true] {
        let path = tempfile::tempdir().unwrap();
        let reader = open_files_only(path.path());
        let writer = open_files_only(path.path());
        fill(&writer, 300);
        let last = "SELECT 299 FROM t";
        assert!(is_there(&reader, last));
        on_step(&writer, |step| match step {
            Step::RemovalBegun => Err(io::Error::from(io::ErrorKind::PermissionDenied)),
            _ => Ok(()),
        });
        assert!(writer.invalidate("*").unwrap() > 256);
        assert!(writer.flush(Duration::from_secs(20)));
        fs::write(path.path().join("generation"), [0; 56]).unwrap();
        let reader = if is_opened {
            open_files_only(path.path())
        } else {
            reader
        };
        assert!(count_files(path.path()) > 256);
        set(&reader, 1);
        assert!(!is_there(&reader, last), "opened: {is_opened}");
        assert_eq!(value(&reader), Some(1));
    }
}

#[test]
fn a_count_that_an_earlier_version_wrote_is_read() {
    let path = tempfile::tempdir().unwrap();
    let cache = open_files_only(path.path());
    set(&cache, 1);
    assert!(cache.flush(Duration::from_secs(20)));
    drop(cache);
    let file = path.path().join("generation");
    let mut bytes = fs::read(&file).unwrap();
    // an earlier format: a flag in the last eight bytes, and no seal
    bytes[48..].copy_from_slice(&0_u64.to_le_bytes());
    fs::write(&file, bytes).unwrap();
    let cache = open_files_only(path.path());
    assert_eq!(value(&cache), Some(1));
    cache.invalidate(SQL).unwrap();
    assert_eq!(value(&cache), None);
}

/// Stores `count` results of one number each; every hundredth reads another table.
fn fill(cache: &Cache, count: usize) {
    for at in 0..count {
        let table = if at % 100 == 0 { "rare" } else { "t" };
        let sql = format!("SELECT {at} FROM {table}");
        cache
            .set(&sql, &[numbers(&[1])], &Params::new(), Some(3600))
            .unwrap();
    }
}

fn is_there(cache: &Cache, sql: &str) -> bool {
    cache.get(sql, &Params::new()).is_some()
}

fn count_files(dir: &Path) -> usize {
    let parts = fs::read_dir(dir.join("v1")).unwrap();
    parts
        .map(|part| fs::read_dir(part.unwrap().path()).unwrap().count())
        .sum()
}

#[test]
fn an_invalidation_of_many_entries_holds_before_their_files_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let other = open_files_only(dir.path());
    fill(&cache, 600);
    // nothing is removed from here on
    on_step(&cache, |step| match step {
        Step::RemovalBegun => Err(io::Error::other("not now")),
        _ => Ok(()),
    });
    assert_eq!(cache.invalidate("select * from t").unwrap(), 594);
    for late in [&cache, &other, &open_files_only(dir.path())] {
        look_at_other_processes_now(late);
        assert!(!is_there(late, "SELECT 1 FROM t"));
        assert!(!is_there(late, "SELECT 599 FROM t"));
        assert!(is_there(late, "SELECT 500 FROM rare"));
    }
    // entries stored from now on do not match
    set(&cache, 7);
    assert_eq!((value(&cache), value(&other)), (Some(7), Some(7)));
    on_step(&cache, |_| Ok(()));
    assert_eq!(cache.invalidate("nothing").unwrap(), 0);
    for done in [&cache, &other] {
        look_at_other_processes_now(done);
        assert_eq!(value(done), Some(7));
        assert!(done.flush(Duration::from_secs(20)));
    }
    assert_eq!(cache.get_stats().entries, 7);
    drop((cache, other));
    let again = open_files_only(dir.path());
    assert!(again.flush(Duration::from_secs(20)));
    assert_eq!(again.get_stats().entries, 7);
    assert_eq!(count_files(dir.path()), 7, "the files are gone");
}

#[test]
fn what_is_computed_anew_does_not_live_as_long_as_what_was_invalidated() {
    let invalidate: [&dyn Fn(&Cache); 3] = [
        &|cache| assert_eq!(cache.clear().unwrap(), 301),
        &|cache| assert_eq!(cache.invalidate("select *").unwrap(), 301),
        // a replacement that is not stored
        &|cache| {
            let none = Params::new();
            let stored = cache.set(SQL, &[numbers(&[2])], &none, Some(0)).unwrap();
            assert_eq!(stored, Stored::Skipped(Skip::ZeroTtl));
        },
    ];
    for (at, invalidate) in invalidate.into_iter().enumerate() {
        for yaml in ["query_cache: {}", "query_cache: {memory_mb: 0}"] {
            let dir = tempfile::tempdir().unwrap();
            let config = Config::from_yaml("c", yaml).unwrap();
            let cache = Cache::open_with(dir.path(), &config).unwrap();
            let clock = ManualClock::install(&cache, 1_000_000);
            fill(&cache, 300);
            set(&cache, 1);
            // no file is removed from here on
            on_step(&cache, |step| match step {
                Step::RemovalBegun => Err(io::Error::other("not now")),
                _ => Ok(()),
            });
            clock.advance(1);
            invalidate(&cache);
            let compute = || Ok::<_, String>(vec![numbers(&[3])]);
            let brief = cache.get_or_compute(SQL, &Params::new(), Some(60), compute);
            assert_eq!(number(&brief.unwrap()), 3, "{at} {yaml}");
            assert_eq!(value(&cache), Some(3), "{at} {yaml}");
            clock.advance(60);
            assert_eq!(value(&cache), None, "{at} {yaml}");
        }
    }
}

#[test]
fn a_file_that_another_process_put_in_place_of_one_that_was_to_be_removed_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, other) = (open_files_only(dir.path()), open_files_only(dir.path()));
    set(&cache, 1);
    on_step(&cache, |step| match step {
        Step::RemovalBegun => Err(io::Error::other("not now")),
        _ => Ok(()),
    });
    let none = Params::new();
    cache.set(SQL, &[numbers(&[2])], &none, Some(0)).unwrap();
    assert_eq!(value(&cache), None);
    on_step(&cache, |_| Ok(()));
    set(&other, 3);
    assert_eq!((value(&cache), value(&other)), (Some(3), Some(3)));
    // the entry that replaces it matches a later invalidation
    on_step(&cache, |step| match step {
        Step::RemovalBegun => Err(io::Error::other("not now")),
        _ => Ok(()),
    });
    cache.set(SQL, &[numbers(&[4])], &none, Some(0)).unwrap();
    assert_eq!(value(&cache), None);
    set(&other, 5);
    cache.set(SQL, &[numbers(&[6])], &none, Some(0)).unwrap();
    on_step(&cache, |_| Ok(()));
    assert_eq!((value(&cache), value(&other)), (None, None));
}

#[test]
fn files_are_read_again_after_many_could_not_be_removed() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open_files_only(dir.path());
    let (none, nothing) = (Params::new(), [numbers(&[1])]);
    fill(&cache, 1025);
    on_step(&cache, |step| match step {
        Step::RemovalBegun => Err(io::Error::other("not now")),
        _ => Ok(()),
    });
    for at in 0..1025 {
        let table = if at % 100 == 0 { "rare" } else { "t" };
        let sql = format!("SELECT {at} FROM {table}");
        let stored = cache.set(&sql, &nothing, &none, Some(0)).unwrap();
        assert_eq!(stored, Stored::Skipped(Skip::ZeroTtl));
    }
    assert!(cache.flush(Duration::from_secs(30)));
    set(&cache, 7);
    assert_eq!(value(&cache), Some(7));
    for at in 0..1025 {
        assert!(!is_there(&cache, &format!("SELECT {at} FROM t")), "{at}");
    }
}

#[test]
fn orders_of_a_folder_that_can_never_be_listed_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open_files_only(dir.path());
    set(&cache, 1);
    assert!(cache.flush(Duration::from_secs(30)));
    let part = dir.path().join("v1/loop");
    std::os::unix::fs::symlink("loop", &part).unwrap();
    let other = open_files_only(dir.path());
    cache.clear().unwrap();
    let orders = dir.path().join("orders");
    let longest = |at: usize| format!("{at} {}", "x".repeat(20_000));
    let mut largest = 0;
    for at in 0..40 {
        let sql = format!("SELECT {at} FROM t");
        let stored = cache.set(&sql, &[numbers(&[1])], &Params::new(), None);
        assert!(matches!(stored.unwrap(), Stored::Kept { .. }));
        assert!(is_there(&cache, &sql));
        cache.invalidate(&longest(at)).unwrap();
        cache.invalidate(&sql).unwrap();
        assert!(!is_there(&cache, &sql), "{at}");
        largest = largest.max(fs::metadata(&orders).unwrap().len());
    }
    assert!(largest < 200_000, "{largest} bytes");
    // entries stored from now on are served, also by a process that opens the directory later, and no earlier entry is
    set(&cache, 2);
    let late = open_files_only(dir.path());
    look_at_other_processes_now(&other);
    for reader in [&cache, &other, &late] {
        assert_eq!(value(reader), Some(2));
        assert!(!(0..40).any(|at| is_there(reader, &format!("SELECT {at} FROM t"))));
    }
    // the directory can be listed again
    fs::remove_file(&part).unwrap();
    let last = open_files_only(dir.path());
    assert!(last.flush(Duration::from_secs(30)));
    last.invalidate("nothing").unwrap();
    last.clear().unwrap();
    assert!(last.flush(Duration::from_secs(30)));
    assert_eq!(count_files(dir.path()), 0);
}

/// Role of a child that collects all of its log lines.
pub(crate) fn clear_beside_a_folder_that_cannot_be_listed(dir: &Path) {
    let lines = Lines::default();
    tracing::subscriber::set_global_default(lines.clone()).unwrap();
    let cache = open_files_only(dir);
    set(&cache, 1);
    let settle = || assert!(cache.flush(Duration::from_secs(30)));
    let retry = || {
        // each call is a second
        (0..6).for_each(|_| look_at_other_processes_now(&cache));
        assert_eq!(value(&cache), None);
        settle();
    };
    settle();
    let part = dir.join("v1/loop");
    for outages in 1..=2 {
        std::os::unix::fs::symlink("loop", &part).unwrap();
        cache.clear().unwrap();
        settle();
        (0..3).for_each(|_| retry());
        let text = lines.text();
        let count = text.matches("invalidated_files_not_removed").count();
        assert_eq!(count, outages, "{text}");
        assert!(text.contains("v1/loop: "), "{text}");
        fs::remove_file(&part).unwrap();
        retry();
    }
    println!("named");
}

#[test]
fn a_folder_that_cannot_be_listed_is_named_once_until_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = crate::child::Process::start("unlistable", dir.path());
    assert!(child.wait_for("named").is_some());
    child.succeeds();
}

#[test]
fn a_file_that_cannot_be_removed_keeps_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    fill(&cache, 300);
    let is_first = AtomicBool::new(true);
    on_step(&cache, move |step| match step {
        Step::RemovalBegun if is_first.swap(false, Ordering::Relaxed) => {
            Err(io::Error::other("not now"))
        }
        _ => Ok(()),
    });
    assert_eq!(cache.clear().unwrap(), 300);
    assert!(cache.flush(Duration::from_secs(20)));
    assert_eq!(count_files(dir.path()), 1);
    let again = open_files_only(dir.path());
    assert!(again.flush(Duration::from_secs(20)));
    assert_eq!(count_files(dir.path()), 0);
}

#[test]
fn a_folder_that_cannot_be_listed_keeps_no_file_of_another_one() {
    let dir = tempfile::tempdir().unwrap();
    let part = dir.path().join("v1/loop");
    let count_listed = || {
        fs::remove_file(&part).unwrap();
        let count = count_files(dir.path());
        std::os::unix::fs::symlink("loop", &part).unwrap();
        count
    };
    let config = Config::from_yaml(
        "c",
        "query_cache: {memory_mb: 0, max_size_mb: 1, codec: ipc}",
    );
    let open = || Cache::open_with(dir.path(), config.as_ref().unwrap()).unwrap();
    let cache = open();
    set(&cache, 1);
    assert!(cache.flush(Duration::from_secs(20)));
    std::os::unix::fs::symlink("loop", &part).unwrap();
    let batch = numbers(&vec![7; 12_800]); // 100 KiB
    for at in 0..12 {
        let sql = format!("SELECT {at} FROM t");
        let stored = cache.set(&sql, std::slice::from_ref(&batch), &Params::new(), None);
        assert!(matches!(stored.unwrap(), Stored::Kept { .. }), "{at}");
    }
    let stats = cache.get_stats();
    assert!(stats.total_size_bytes <= 1 << 20, "{stats:?}");
    assert!(stats.evicted_size > 0, "{stats:?}");
    assert!(count_listed() > 0);
    // without the journal, the directory is listed
    fs::remove_file(dir.path().join("journal")).unwrap();
    let cache = open();
    assert!(cache.invalidate("select *").unwrap() > 0);
    assert!(cache.flush(Duration::from_secs(20)));
    assert_eq!(count_listed(), 0);
}

#[test]
fn others_are_evicted_in_place_of_files_that_cannot_be_removed() {
    respect_modes();
    let dir = tempfile::tempdir().unwrap();
    let config = Config::from_yaml(
        "c",
        "query_cache: {memory_mb: 0, max_size_mb: 1, codec: ipc}",
    );
    let cache = Cache::open_with(dir.path(), &config.unwrap()).unwrap();
    let clock = ManualClock::install(&cache, 1_000_000);
    let batch = numbers(&vec![7; 12_800]); // 100 KiB
    let store = |at: u32| {
        let sql = format!("SELECT {at} FROM t");
        let stored = cache.set(&sql, std::slice::from_ref(&batch), &Params::new(), None);
        assert!(matches!(stored.unwrap(), Stored::Kept { .. }), "{at}");
    };
    // failed removals are one log line per store, however many files there are
    let store_with_a_line = |at: u32| {
        let text = Lines::of(|| store(at));
        let count = text.matches("entry_not_evicted").count();
        assert!(count <= 1, "{text}");
        count
    };
    (0..3).for_each(store);
    let parts = fs::read_dir(dir.path().join("v1")).unwrap();
    let locked: Vec<_> = parts.map(|part| part.unwrap().path()).collect();
    let set_mode = |mode: u32| {
        let mode = fs::Permissions::from_mode(mode);
        let mut all = locked.iter();
        all.try_for_each(|part| fs::set_permissions(part, mode.clone()))
            .unwrap();
    };
    set_mode(0o555);
    // they are worth least from here on, and no other entry is in those folders
    clock.advance(60);
    let with_line = (3..30).map(store_with_a_line).sum::<usize>();
    set_mode(0o755);
    assert!(with_line > 0);
    let stats = cache.get_stats();
    assert!(stats.total_size_bytes <= 1 << 20, "{stats:?}");
    assert!(stats.evicted_size > 15, "{stats:?}");
}

/// Makes this thread, and those that it starts, respect file modes even for root.
fn respect_modes() {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

        if let Ok(mut mine) = capabilities(None) {
            mine.effective -= CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
            // if that is not permitted, the file can be read, and the test ends
            let _ = set_capabilities(None, mine);
        }
    }
}

#[test]
fn an_unreadable_entry_is_removed_by_any_invalidation_that_may_match() {
    let remove_one = |has_journal: bool, pattern: &str, is_left: bool| {
        let dir = tempfile::tempdir().unwrap();
        let cache = open_files_only(dir.path());
        set(&cache, 1);
        let (_, denied) = crate::faults::files(dir.path());
        let other = "SELECT n FROM u";
        cache
            .set(other, &[numbers(&[1])], &Params::new(), None)
            .unwrap();
        assert!(cache.flush(Duration::from_secs(20)));
        drop(cache);
        fs::set_permissions(&denied, fs::Permissions::from_mode(0o000)).unwrap();
        if fs::File::open(&denied).is_ok() {
            return;
        }
        if !has_journal {
            fs::remove_file(dir.path().join("journal")).unwrap();
        }
        let cache = open_files_only(dir.path());
        let found = cache.look_up(SQL, &Params::new());
        assert!(matches!(found, Lookup::Miss(Miss::Io)), "{found:?}");
        cache.invalidate(pattern).unwrap();
        assert!(cache.flush(Duration::from_secs(20)));
        assert_eq!(denied.exists(), is_left, "{has_journal} {pattern}");
        set(&cache, 2);
        assert_eq!(value(&cache), Some(2), "{has_journal} {pattern}");
        assert_eq!(value(&open_files_only(dir.path())), Some(2));
    };
    // capabilities end with their thread
    let removed = std::thread::spawn(move || {
        respect_modes();
        for (has_journal, pattern, is_left) in [
            (true, "*", false),
            (true, SQL, false),
            (true, "*FROM u", true),
            (false, "*", false),
            (false, SQL, false),
            // undecidable, since the metadata cannot be read
            (false, "*FROM u", false),
        ] {
            remove_one(has_journal, pattern, is_left);
        }
    });
    removed.join().unwrap();
}

#[test]
fn files_of_an_invalidation_whose_process_died_are_removed_by_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    fill(&Cache::open(dir.path()).unwrap(), 300);
    let mut child = crate::child::Process::start("store MetadataRemoved 0", dir.path());
    assert!(child.wait_for("reached").is_some());
    child.kill();
    assert!(count_files(dir.path()) >= 299, "it died early");
    let cache = open_files_only(dir.path());
    assert!(!is_there(&cache, "SELECT 1 FROM t"));
    assert!(cache.flush(Duration::from_secs(20)));
    assert_eq!(cache.get_stats().entries, 0);
    assert_eq!(count_files(dir.path()), 0);
}

#[test]
fn an_order_without_its_count_does_not_hide_later_orders() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, other) = (
        Cache::open(dir.path()).unwrap(),
        Cache::open(dir.path()).unwrap(),
    );
    fill(&cache, 600);
    assert!(is_there(&other, "SELECT 1 FROM t"));
    // a process that dies before its order counts
    on_step(&cache, |step| match step {
        Step::OrderWritten => Err(io::Error::other("died")),
        Step::RemovalBegun => Err(io::Error::other("not now")),
        _ => Ok(()),
    });
    assert!(cache.invalidate("*rare*").is_err());
    on_step(&cache, |step| match step {
        Step::RemovalBegun => Err(io::Error::other("not now")),
        _ => Ok(()),
    });
    cache.invalidate("select * from t").unwrap();
    look_at_other_processes_now(&other);
    assert!(!is_there(&other, "SELECT 1 FROM t"));
}

#[test]
fn orders_that_are_lost_or_forged_are_not_believed() {
    let forge: [&dyn Fn(&Path); 4] = [
        &|orders| fs::remove_file(orders).unwrap(),
        &|orders| fs::write(orders, "").unwrap(),
        &|orders| {
            let text = fs::read_to_string(orders).unwrap();
            fs::write(orders, text.replace("from t", "from x")).unwrap();
        },
        &|orders| {
            // from another directory
            let dir = tempfile::tempdir().unwrap();
            Cache::open(dir.path()).unwrap().invalidate("x").unwrap();
            fs::copy(dir.path().join("orders"), orders).unwrap();
        },
    ];
    for forge in forge {
        for is_running in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let cache = Cache::open(dir.path()).unwrap();
            let other = open_files_only(dir.path());
            assert!(other.flush(Duration::from_secs(20)));
            fill(&cache, 300);
            assert!(is_there(&other, "SELECT 1 FROM t"));
            on_step(&cache, |step| match step {
                Step::RemovalBegun => Err(io::Error::other("not now")),
                _ => Ok(()),
            });
            assert_eq!(cache.invalidate("select * from t").unwrap(), 297);
            assert!(cache.flush(Duration::from_secs(20)));
            forge(&dir.path().join("orders"));
            let late = match is_running {
                true => other,
                false => open_files_only(dir.path()),
            };
            look_at_other_processes_now(&late);
            println!("running: {is_running}");
            for at in 1..300 {
                let table = if at % 100 == 0 { "rare" } else { "t" };
                let found = is_there(&late, &format!("SELECT {at} FROM {table}"));
                assert!(table == "rare" || !found, "{at}");
            }
            // new results are stored
            assert!(late.flush(Duration::from_secs(20)));
            let stored = set(&late, 3);
            assert!(matches!(stored, Stored::Kept { .. }), "{stored:?}");
            assert_eq!(value(&late), Some(3));
        }
    }
}

#[test]
fn a_journal_that_is_torn_lost_or_forged_is_written_anew() {
    let damage: [&dyn Fn(&Path); 8] = [
        &|journal| fs::remove_file(journal).unwrap(),
        &|journal| fs::write(journal, "").unwrap(),
        &|journal| {
            let bytes = fs::read(journal).unwrap();
            fs::write(journal, &bytes[..bytes.len() - 5]).unwrap();
        },
        &|journal| {
            let mut bytes = fs::read(journal).unwrap();
            let at = bytes.len() - 3;
            bytes[at] ^= 1;
            fs::write(journal, bytes).unwrap();
        },
        &|journal| {
            // another record length, up to the whole memory
            let mut bytes = fs::read(journal).unwrap();
            bytes[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
            fs::write(journal, bytes).unwrap();
        },
        &|journal| {
            // the journal of another directory
            let dir = tempfile::tempdir().unwrap();
            let other = Cache::open(dir.path()).unwrap();
            assert_eq!(other.get_stats().entries, 0);
            fill(&other, 20);
            fs::copy(dir.path().join("journal"), journal).unwrap();
        },
        &|journal| {
            fs::remove_file(journal).unwrap();
            std::os::unix::fs::symlink("/dev/zero", journal).unwrap();
        },
        &|journal| {
            fs::remove_file(journal).unwrap();
            fs::create_dir(journal).unwrap();
        },
    ];
    for (at, damage) in damage.iter().enumerate() {
        for is_running in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let cache = Cache::open(dir.path()).unwrap();
            assert_eq!(cache.get_stats().entries, 0);
            fill(&cache, 20);
            assert_eq!(cache.get_stats().entries, 20);
            assert!(cache.flush(Duration::from_secs(20)));
            damage(&dir.path().join("journal"));
            let late = match is_running {
                true => cache,
                false => open_files_only(dir.path()),
            };
            set(&late, 1);
            assert_eq!(late.get_stats().entries, 21, "{at}");
            assert_eq!(open_files_only(dir.path()).get_stats().entries, 21, "{at}");
            assert_eq!(late.invalidate("*from rare").unwrap(), 1, "{at}");
            assert_eq!(late.invalidate("*from t").unwrap(), 20, "{at}");
            assert!(!is_there(&late, "SELECT 1 FROM t"));
            assert_eq!(open_files_only(dir.path()).get_stats().entries, 0, "{at}");
        }
    }
}

#[test]
fn a_process_that_dies_while_the_journal_is_written_anew_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    assert_eq!(cache.get_stats().entries, 0);
    fill(&cache, 20);
    // it is rewritten, and the process dies before it counts
    fs::remove_file(dir.path().join("journal")).unwrap();
    on_step(&cache, |step| match step {
        Step::JournalRenamed => Err(io::Error::other("died")),
        _ => Ok(()),
    });
    cache.get_stats();
    assert_eq!(open_files_only(dir.path()).get_stats().entries, 20);
    assert_eq!(cache.invalidate("*").unwrap(), 20);
    assert_eq!(open_files_only(dir.path()).get_stats().entries, 0);
}

#[test]
fn statistics_follow_what_other_processes_store_and_remove() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, other) = (
        Cache::open(dir.path()).unwrap(),
        open_files_only(dir.path()),
    );
    for round in 0..3 {
        fill(&cache, 50);
        assert_eq!(other.get_stats().entries, 50, "{round}");
        assert_eq!(other.invalidate("*from rare").unwrap(), 1);
        assert_eq!(cache.get_stats().entries, 49, "{round}");
        // many changes of few entries: the journal does not grow without bound
        for _ in 0..200 {
            set(&cache, round);
        }
        assert_eq!(other.get_stats().entries, 50);
        assert_eq!(cache.clear().unwrap(), 50);
        assert_eq!(other.get_stats().entries, 0);
    }
}
