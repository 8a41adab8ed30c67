//! Limits apply to the memory and disk space that results really take.

use std::path::Path;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use data_cache::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use data_cache::{Cache, Config, Params, Stored, Warehouse, params};

use crate::batches::{Random, is_full, numbers};
use crate::child::Process;

const SQL: &str = "SELECT n FROM t";
const LIMIT_MB: u64 = 64;

/// Resident memory of the process in MiB.
pub(crate) fn resident_mb() -> u64 {
    resident_kib() / 1024
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Role of a child: stores far more than fits, in results of several sizes.
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
    // a quarter more, plus the memory of the test itself
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

const ROWS_LIMIT_MB: u64 = 18;

/// Role of a child: stores far more one-row results than fit, as returned by the engine.
pub(crate) fn weigh_rows(_: &Path) {
    let yaml = format!("query_cache: {{max_size_mb: 0, memory_mb: {ROWS_LIMIT_MB}}}");
    let cache = Cache::open_with("nowhere", &Config::from_yaml("c", &yaml).unwrap()).unwrap();
    let warehouse = Warehouse::in_memory().unwrap();
    let columns = (0..10).map(|at| format!("$n + {at} AS column_{at}, 'of ' || $n AS text_{at}"));
    let sql = format!("SELECT {}", columns.collect::<Vec<_>>().join(", "));
    let keep = |at: i64| {
        let bound = params! { n: at };
        let batches = warehouse.query(&sql, &bound).unwrap();
        cache.set(&sql, &batches, &bound, None).unwrap();
    };
    // memory of the engine itself, with or without a cache
    (0..100).for_each(keep);
    let (before, counted_before) = (resident_kib(), cache.get_stats().memory_bytes);
    (100..700).for_each(keep);
    let counted = (cache.get_stats().memory_bytes - counted_before) >> 10;
    let grown = resident_kib().saturating_sub(before);
    // below the limit, the counted bytes are those that results take
    assert!(grown <= counted + counted / 3, "{grown} KiB for {counted}");
    (700..1600).for_each(keep);
    let counted = cache.get_stats().memory_bytes >> 20;
    assert!(counted >= ROWS_LIMIT_MB / 2, "{counted} MiB are counted");
    println!("weighed {}", resident_kib().saturating_sub(before) >> 10);
}

#[test]
fn the_limit_of_memory_holds_for_answers_of_one_row() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Process::start("weigh_rows", dir.path());
    let most = child.wait_for("weighed").expect("the child panicked");
    child.succeeds();
    let most: u64 = most.trim().parse().unwrap();
    assert!(
        most <= ROWS_LIMIT_MB + ROWS_LIMIT_MB / 4,
        "{most} MiB with a limit of {ROWS_LIMIT_MB}"
    );
}

/// A result of a random shape: few or many rows, columns and batches; numbers, texts, or values that compress well.
fn some_result(random: &mut Random, most_rows: usize) -> Vec<RecordBatch> {
    let magnitude = 1 + random.below(most_rows.ilog2() as usize);
    let rows = 1 + random.below(1 << magnitude);
    let columns = 1 + random.below(6);
    let kinds: Vec<usize> = (0..columns).map(|_| random.below(4)).collect();
    let batches = 1 + random.below(3);
    let column = |kind: usize, random: &mut Random| -> ArrayRef {
        match kind {
            0 => Arc::new(Int64Array::from_iter_values(
                (0..rows).map(|_| random.next().cast_signed()),
            )),
            1 => Arc::new(Float64Array::from_iter_values(
                (0..rows).map(|row| (row % 10) as f64),
            )),
            2 => Arc::new(StringArray::from_iter_values(
                (0..rows).map(|_| format!("{:x}", random.next())),
            )),
            _ => Arc::new(Int64Array::from_iter_values((0..rows).map(|_| 7))),
        }
    };
    let batch = |random: &mut Random| {
        let columns = kinds
            .iter()
            .enumerate()
            .map(|(at, kind)| (format!("c{at}"), column(*kind, random)));
        RecordBatch::try_from_iter(columns).unwrap()
    };
    (0..batches).map(|_| batch(random)).collect()
}

/// Bytes of the blocks of all files of entries.
fn blocks(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let parts = std::fs::read_dir(dir.join("v1")).unwrap();
    let files = parts.flat_map(|part| std::fs::read_dir(part.unwrap().path()).unwrap());
    files
        .map(|file| file.unwrap().metadata().unwrap().blocks() * 512)
        .sum()
}

/// Runs all code needed for storing and reading once, so that it is in memory:
/// pages of the program are not memory of the cache. Nothing is stored.
fn warm_up(codec: &str, random: &mut Random) {
    let yaml = format!("query_cache: {{memory_mb: 0, max_size_mb: 64, codec: {codec}}}");
    let config = Config::from_yaml("c", &yaml).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open_with(dir.path(), &config).unwrap();
    for at in 0..20_i64 {
        let result = some_result(random, 16);
        let bound = params! { at: at };
        cache.set(SQL, &result, &bound, None).unwrap();
        assert!(cache.get(SQL, &bound).is_some());
    }
    assert!(cache.flush(Duration::from_secs(30)));
}

/// Role of a child: stores results of random shapes under random limits for some seconds, and compares the limits with
/// what the process and the directory really take.
pub(crate) fn keep_within_limits(dir: &Path, role: &str) {
    let (seed, seconds) = role.split_once(' ').unwrap();
    let seed: u64 = seed.parse().unwrap();
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let seconds: u64 = seconds.parse().unwrap();
    // limits that are reached within the time
    let (memory_mb, disk_mb) = match seconds {
        0..10 => (16, 1 + random.below(3) as u64),
        _ => (16 + random.below(65) as u64, 4 + random.below(29) as u64),
    };
    let codec = ["parquet", "ipc"][random.below(2)];
    let most_rows = 1 << (9 + random.below(6));
    let yaml =
        format!("query_cache: {{max_size_mb: {disk_mb}, memory_mb: {memory_mb}, codec: {codec}}}");
    warm_up(codec, &mut random);
    let before = resident_mb();
    let cache = Cache::open_with(dir, &Config::from_yaml("c", &yaml).unwrap()).unwrap();
    let (mut most_memory, mut most_blocks, mut worst_count) = (0, 0, 0.0_f64);
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut at = 0_i64;
    let is_early = |at| at < 5000 && cache.get_stats().evicted_size == 0;
    while Instant::now() < until || is_early(at) {
        for _ in 0..50 {
            let result = some_result(&mut random, most_rows);
            let bound = params! { at: at };
            cache.set(SQL, &result, &bound, None).unwrap();
            // some are read from files into memory again
            let earlier = at - i64::try_from(random.below(200)).unwrap();
            let _ = cache.get(SQL, &params! { at: earlier });
            at += 1;
        }
        most_memory = most_memory.max(resident_mb().saturating_sub(before));
        let real = blocks(dir);
        most_blocks = most_blocks.max(real);
        let counted = cache.get_stats().total_size_bytes;
        worst_count = worst_count.max((counted as f64 / real as f64 - 1.0).abs());
    }
    let stats = cache.get_stats();
    println!(
        "limits {at} results ({} evicted), {codec}, at most {most_rows} rows: memory {most_memory} of {memory_mb} MiB ({:+.0} %), files \
         {:.1} of {disk_mb} MiB, counted within {:.1} %",
        stats.evicted_size,
        (most_memory as f64 / memory_mb as f64 - 1.0) * 100.0,
        most_blocks as f64 / 1_048_576.0,
        worst_count * 100.0
    );
    assert!(
        most_memory <= memory_mb + memory_mb / 4,
        "{most_memory} MiB of memory"
    );
    assert!(
        most_blocks <= (disk_mb << 20) / 10 * 11,
        "{most_blocks} bytes of files"
    );
    assert!(worst_count <= 0.1, "counted {worst_count} off");
    assert!(stats.evicted_size > 0, "no limit was reached");
    println!("kept");
}

/// The full version checks 10 limits for 30 seconds each, starting with seed `OPS_TEST_SEED`.
#[test]
fn limits_hold_for_results_of_any_shape() {
    let (runs, seconds) = if is_full() { (10, 30) } else { (2, 1) };
    let first = std::env::var("OPS_TEST_SEED").map_or(1, |seed| seed.parse().unwrap());
    for seed in first..first + runs {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Process::start(&format!("limits {seed} {seconds}"), dir.path());
        let line = child.wait_for("limits ").expect("the child panicked");
        println!("{seed}: {line}");
        assert!(child.wait_for("kept").is_some(), "seed {seed}: {line}");
        child.succeeds();
    }
}

#[test]
fn what_went_to_make_room_is_not_there_and_not_counted() {
    let config = Config::from_yaml("c", "query_cache: {memory_mb: 2, max_size_mb: 0}").unwrap();
    let cache = Cache::open_with("nowhere", &config).unwrap();
    let stored = 5000_i64;
    for at in 0..stored {
        let bound = params! { at: at };
        cache.set(SQL, &[numbers(&[at])], &bound, None).unwrap();
    }
    let is_there = |at: &i64| cache.get(SQL, &params! { at: *at }).is_some();
    let there = (0..stored).filter(is_there).count();
    assert!((500..4000).contains(&there), "{there}");
    assert_eq!(cache.get_stats().entries, there as u64);
    assert_eq!(cache.invalidate("*").unwrap(), there);
    assert_eq!((0..stored).filter(is_there).count(), 0);
}

#[test]
fn an_invalidation_finds_all_that_is_in_memory_whoever_stored_and_evicted_meanwhile() {
    let config = Config::from_yaml("c", "query_cache: {memory_mb: 1, max_size_mb: 0}").unwrap();
    let cache = Cache::open_with("nowhere", &config).unwrap();
    let (small, too_large) = ([numbers(&[1])], [numbers(&vec![7; 20_000])]);
    let (keys, others) = (3, 600);
    let seed = AtomicU64::new(1);
    for round in 0..if is_full() { 1000 } else { 30 } {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut random = Random(seed.fetch_add(1, Ordering::Relaxed));
                    for _ in 0..100 {
                        let (at, result, ttl) = match random.below(8) {
                            0 => (random.below(keys), &too_large, None),
                            1 => (random.below(keys), &small, Some(0)),
                            2 | 3 => (random.below(keys), &small, None),
                            _ => (keys + random.below(others), &small, None),
                        };
                        let bound = params! { at: i64::try_from(at).unwrap() };
                        cache.set(SQL, result, &bound, ttl).unwrap();
                    }
                });
            }
        });
        let there = || {
            let at = 0..i64::try_from(keys + others).unwrap();
            at.filter(|at| cache.get(SQL, &params! { at: *at }).is_some())
                .count()
        };
        let kept = there();
        assert!(kept > 0);
        assert_eq!(cache.get_stats().entries, kept as u64, "round {round}");
        assert_eq!(cache.invalidate("select n*").unwrap(), kept);
        assert_eq!(there(), 0, "round {round}");
    }
}

#[test]
fn an_expensive_small_result_outlives_cheap_large_ones() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::from_yaml("c", "query_cache: {memory_mb: 0, max_size_mb: 4}").unwrap();
    let cache = Cache::open_with(dir.path(), &config).unwrap();
    let none = Params::new();
    let slow = || {
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_millis(100) {
            std::thread::park_timeout(Duration::from_millis(100));
        }
        Ok::<_, std::convert::Infallible>(vec![numbers(&[1])])
    };
    cache
        .get_or_compute("SELECT expensive", &none, None, slow)
        .unwrap();
    let mut random = Random(3);
    for at in 0..60_i64 {
        let values: Vec<i64> = (0..40_000).map(|_| random.next().cast_signed()).collect();
        let bound = params! { at: at };
        cache.set(SQL, &[numbers(&values)], &bound, None).unwrap();
    }
    let stats = cache.get_stats();
    assert!(stats.evicted_size > 20, "{stats:?}");
    assert!(cache.get(SQL, &params! { at: 0_i64 }).is_none());
    assert!(cache.get("SELECT expensive", &none).is_some());
}

/// Stores results in four threads concurrently; returns how many were stored.
fn store_all(cache: &Cache) -> u64 {
    let store = |thread: i64| {
        let stored = (0..400).map(|at| {
            let bound = params! { thread: thread, at: at };
            cache.set(SQL, &[numbers(&[at])], &bound, None).unwrap()
        });
        stored
            .filter(|stored| !matches!(stored, Stored::Skipped(_)))
            .count() as u64
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|at| scope.spawn(move || store(at))).collect();
        threads.into_iter().map(|one| one.join().unwrap()).sum()
    })
}

#[test]
fn each_entry_that_goes_for_space_is_counted_once() {
    for limits in [
        "max_size_mb: 1, memory_mb: 0",
        "max_size_mb: 0, memory_mb: 1",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::from_yaml("c", &format!("query_cache: {{{limits}}}")).unwrap();
        let cache = Cache::open_with(dir.path(), &config).unwrap();
        let stored = store_all(&cache);
        assert!(cache.flush(Duration::from_secs(30)));
        let stats = cache.get_stats();
        assert!(stats.evicted_size > 0, "{limits}: {stats:?}");
        assert_eq!(stats.evicted_size + stats.entries, stored, "{limits}");
    }
}

/// Compute time saved by a memory that is too small for everything:
/// cheap results and some expensive ones, queried at random.
#[test]
fn memory_keeps_what_is_expensive_for_its_size() {
    let config = Config::from_yaml("c", "query_cache: {memory_mb: 8, max_size_mb: 0}").unwrap();
    let cache = Cache::open_with("nowhere", &config).unwrap();
    let slow = |millis: u64, rows: usize| {
        move || {
            let asked = Instant::now();
            while asked.elapsed() < Duration::from_millis(millis) {
                std::thread::park_timeout(Duration::from_millis(millis));
            }
            Ok::<_, std::convert::Infallible>(vec![numbers(&vec![1; rows])])
        }
    };
    let ask = |name: &str, at: i64, millis: u64, rows: usize| {
        let bound = params! { at: at };
        cache
            .get_or_compute(&format!("SELECT {name}"), &bound, None, slow(millis, rows))
            .unwrap();
    };
    for at in 0..4 {
        ask("expensive", at, 60, 10);
    }
    // six times what fits, all of it cheap
    for at in 0..100 {
        ask("cheap", at, 0, 60_000);
    }
    let is_there = |name: &str, at: i64| {
        let sql = format!("SELECT {name}");
        cache.get(&sql, &params! { at: at }).is_some()
    };
    let expensive = (0..4).filter(|at| is_there("expensive", *at)).count();
    let cheap = (0..100).filter(|at| is_there("cheap", *at)).count();
    assert_eq!(expensive, 4);
    assert!((5..=9).contains(&cheap), "{cheap}");
    assert!(is_there("cheap", 99), "the newest one is there");
    let counted = cache.get_stats().memory_bytes;
    assert!(counted <= 8 << 20, "{counted}");
}

#[test]
fn memory_that_was_emptied_counts_nothing() {
    let config = Config::from_yaml("c", "query_cache: {memory_mb: 8, max_size_mb: 0}").unwrap();
    let cache = Cache::open_with("nowhere", &config).unwrap();
    for round in 0..3 {
        for at in 0..300_i64 {
            let bound = params! { at: at };
            cache
                .set(SQL, &[numbers(&[at, round])], &bound, None)
                .unwrap();
        }
        // the same key again replaces the previous entry
        cache
            .set(SQL, &[numbers(&[1, 2, 3])], &params! { at: 0_i64 }, None)
            .unwrap();
        assert_eq!(cache.get_stats().entries, 300);
        match round {
            0 => cache.clear().unwrap(),
            1 => cache.invalidate("*from t").unwrap(),
            _ => cache.invalidate_table("t").unwrap(),
        };
        let stats = cache.get_stats();
        assert_eq!((stats.entries, stats.memory_bytes), (0, 0));
        assert!(cache.get(SQL, &params! { at: 0_i64 }).is_none());
    }
}
