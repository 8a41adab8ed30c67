//! Several processes on one directory.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use data_cache::arrow::array::Int64Array;
use data_cache::testing::{ManualClock, Step, look_at_other_processes_now, on_step};
use data_cache::{Cache, Config, Params, Skip, Stored, params};

use crate::batches::{Random, is_full, number, numbers};
use crate::child::Process;

const SQL: &str = "SELECT n FROM t";

/// Opens two caches on one directory, as two processes do.
fn two_on(dir: &Path) -> (Cache, Cache) {
    (Cache::open(dir).unwrap(), Cache::open(dir).unwrap())
}

#[test]
fn what_another_process_replaced_or_removed_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = two_on(dir.path());
    let none = Params::new();
    let value = |cache: &Cache| {
        look_at_other_processes_now(cache);
        cache.get(SQL, &none).map(|hit| number(hit.batches()))
    };
    one.set(SQL, &[numbers(&[1])], &none, None).unwrap();
    assert_eq!(value(&other), Some(1));
    one.set(SQL, &[numbers(&[2])], &none, None).unwrap();
    assert_eq!(value(&other), Some(2));
    assert_eq!(other.invalidate("*").unwrap(), 1);
    assert_eq!(value(&one), None);
    one.set(SQL, &[numbers(&[3])], &none, None).unwrap();
    assert_eq!(value(&other), Some(3));
    assert_eq!(other.clear().unwrap(), 1);
    assert_eq!(value(&one), None);
    assert_eq!(one.invalidations().len(), 2);
}

#[test]
fn what_another_process_removed_is_not_served_after_an_invalidation_that_did_not_list_it() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = two_on(dir.path());
    let none = Params::new();
    one.set(SQL, &[numbers(&[1])], &none, None).unwrap();
    assert!(other.get(SQL, &none).is_some());
    // a TTL of 0 stores nothing, and removes the file
    one.set(SQL, &[numbers(&[1])], &none, Some(0)).unwrap();
    assert_eq!(other.get_stats().entries, 0);
    assert_eq!(other.invalidate("select n*").unwrap(), 0);
    assert!(other.flush(Duration::from_secs(30)));
    assert!(other.get(SQL, &none).is_none());
}

#[test]
fn a_file_behind_a_result_that_is_only_in_memory_is_found_by_an_invalidation_of_a_third_process() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = two_on(dir.path());
    let none = Params::new();
    on_step(&one, |step| match step {
        Step::DataWritten => Err(std::io::ErrorKind::StorageFull.into()),
        _ => Ok(()),
    });
    let in_memory = one.set(SQL, &[numbers(&[1])], &none, None).unwrap();
    assert_eq!(in_memory, Stored::Skipped(Skip::NoSpace));
    other.set(SQL, &[numbers(&[2])], &none, None).unwrap();
    for cache in [&one, &other] {
        assert!(cache.flush(Duration::from_secs(30)));
    }
    // the first process lists the directory, and writes the journal that the third one reads
    let _ = std::fs::remove_file(dir.path().join("journal"));
    assert_eq!(one.invalidate("SELECT n FROM u").unwrap(), 0);
    assert!(one.get(SQL, &none).is_some());
    let third = Cache::open(dir.path()).unwrap();
    assert_eq!(third.invalidate(SQL).unwrap(), 1);
    assert!(third.get(SQL, &none).is_none());
}

#[test]
fn an_invalidation_finds_a_file_that_the_journal_of_another_process_lists_as_its_predecessor() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = two_on(dir.path());
    let third = Cache::open(dir.path()).unwrap();
    // none of them notices the others on its own
    let caches = [&one, &other, &third];
    let _clocks = caches.map(|cache| ManualClock::install(cache, 1_000_000));
    let none = Params::new();
    one.set(SQL, &[numbers(&[1])], &none, None).unwrap();
    assert_eq!(other.clear().unwrap(), 1);
    other.set(SQL, &[numbers(&[2])], &none, None).unwrap();
    for cache in caches {
        assert!(cache.flush(Duration::from_secs(30)));
    }
    // the first process writes the journal anew, from what it knows
    let _ = std::fs::remove_file(dir.path().join("journal"));
    assert_eq!(one.get_stats().entries, 1);
    assert_eq!(third.get_stats().entries, 1);
    look_at_other_processes_now(&third);
    assert!(third.get("SELECT n FROM u", &none).is_none());
    assert!(third.flush(Duration::from_secs(30)));
    assert_eq!(third.invalidate(SQL).unwrap(), 1);
    assert!(third.get(SQL, &none).is_none());
}

#[test]
fn an_invalidation_finds_a_file_that_came_after_a_result_that_was_only_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = two_on(dir.path());
    // the second process does not notice the first one on its own
    let caches = [&one, &other];
    let _clocks = caches.map(|cache| ManualClock::install(cache, 1_000_000));
    let none = Params::new();
    on_step(&other, |step| match step {
        Step::DataWritten => Err(std::io::ErrorKind::StorageFull.into()),
        _ => Ok(()),
    });
    let in_memory = other.set(SQL, &[numbers(&[1])], &none, None).unwrap();
    assert_eq!(in_memory, Stored::Skipped(Skip::NoSpace));
    for cache in caches {
        assert!(cache.flush(Duration::from_secs(30)));
    }
    one.clear().unwrap();
    one.set(SQL, &[numbers(&[2])], &none, None).unwrap();
    assert!(one.flush(Duration::from_secs(30)));
    // the second process lists the directory: it already has an entry of that key
    std::fs::remove_file(dir.path().join("journal")).unwrap();
    assert_eq!(other.invalidate("SELECT n FROM u").unwrap(), 0);
    assert!(other.flush(Duration::from_secs(30)));
    assert_eq!(other.invalidate(SQL).unwrap(), 1);
    assert!(other.get(SQL, &none).is_none());
}

#[test]
fn a_result_that_was_replaced_while_there_was_no_journal_counts_as_it_is_now() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = two_on(dir.path());
    // the second process does not notice the first one on its own
    let caches = [&one, &other];
    let clocks = caches.map(|cache| ManualClock::install(cache, 1_000_000));
    let none = Params::new();
    let set = |count: i64| {
        let batch = numbers(&(0..count).collect::<Vec<_>>());
        let stored = one.set(SQL, &[batch], &none, Some(10)).unwrap();
        assert!(matches!(stored, Stored::Kept { .. }), "{stored:?}");
        assert!(one.flush(Duration::from_secs(30)));
    };
    set(1);
    let before = other.get_stats();
    assert_eq!(before.entries, 1);
    // the journal is lost, and the second process does not learn from it that its entry was replaced after it had expired
    std::fs::remove_file(dir.path().join("journal")).unwrap();
    clocks.iter().for_each(|clock| clock.advance(20));
    set(100_000);
    for cache in caches.into_iter().rev() {
        assert!(cache.flush(Duration::from_secs(30)));
        let after = cache.get_stats();
        assert_eq!(after.entries, 1);
        assert!(after.total_size_bytes > before.total_size_bytes);
    }
}

#[test]
fn a_file_behind_a_result_that_left_memory_with_unknown_invalidations_is_found_by_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = two_on(dir.path());
    // the second process does not notice the first one on its own
    let clocks = [&one, &other].map(|cache| ManualClock::install(cache, 1_000_000));
    let none = Params::new();
    on_step(&other, |step| match step {
        Step::DataWritten => Err(std::io::ErrorKind::StorageFull.into()),
        _ => Ok(()),
    });
    clocks[1].advance(1);
    let in_memory = other.set(SQL, &[numbers(&[2])], &none, None).unwrap();
    assert_eq!(in_memory, Stored::Skipped(Skip::NoSpace));
    // created earlier: the second process serves what it has
    one.set(SQL, &[numbers(&[1])], &none, None).unwrap();
    assert_eq!(other.invalidate("SELECT n FROM u").unwrap(), 0);
    assert!(other.flush(Duration::from_secs(30)));
    assert_eq!(number(other.get(SQL, &none).unwrap().batches()), 2);
    // more than the other processes can read
    for _ in 0..40 {
        assert_eq!(one.invalidate("SELECT n FROM v").unwrap(), 0);
    }
    look_at_other_processes_now(&other);
    assert!(other.get("SELECT n FROM v", &none).is_none());
    assert!(other.flush(Duration::from_secs(30)));
    assert_eq!(other.invalidate(SQL).unwrap(), 1);
    assert!(other.get(SQL, &none).is_none());
}

#[test]
fn what_another_process_invalidated_and_computed_anew_is_not_served_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = two_on(dir.path());
    let none = Params::new();
    let value = |cache: &Cache| cache.get(SQL, &none).map(|hit| number(hit.batches()));
    one.set(SQL, &[numbers(&[1])], &none, None).unwrap();
    assert_eq!(value(&other), Some(1));
    assert_eq!(one.invalidate("select n*").unwrap(), 1);
    one.set(SQL, &[numbers(&[2])], &none, None).unwrap();
    // the journal is read before the invalidation count is checked again
    assert_eq!(other.get_stats().entries, 1);
    // invalidations are checked every 20 ms, whatever is queried
    let asked = Instant::now();
    let mut is_over = false;
    while !is_over {
        // once more after that time, however long this thread had no core
        is_over = asked.elapsed() >= Duration::from_millis(60);
        assert!(other.get("SELECT 1", &none).is_none());
    }
    assert!(other.flush(Duration::from_secs(30)));
    assert_eq!(value(&other), Some(2));
}

/// Threads that look up a result when a check is due: one of them checks.
const CALLERS: usize = 4;

#[test]
fn callers_during_the_check_of_another_thread_get_nothing_invalidated() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = two_on(dir.path());
    let none = Params::new();
    let value = || other.get(SQL, &none).map(|hit| number(hit.batches()));
    for round in 0..60 {
        one.set(SQL, &[numbers(&[round])], &none, None).unwrap();
        let asked = Instant::now();
        while value() != Some(round) {
            assert!(asked.elapsed() < Duration::from_secs(30), "it is not found");
        }
        one.invalidate("select n*").unwrap();
        let done = Instant::now();
        while done.elapsed() < Duration::from_millis(21) {
            std::thread::park_timeout(Duration::from_millis(21));
        }
        let start = Barrier::new(CALLERS);
        std::thread::scope(|scope| {
            for _ in 0..CALLERS {
                scope.spawn(|| {
                    start.wait();
                    assert_eq!(value(), None, "round {round}");
                });
            }
        });
    }
}

#[test]
fn callers_while_another_thread_reads_a_replaced_file_get_its_content() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = two_on(dir.path());
    let none = Params::new();
    let value = || other.get(SQL, &none).map(|hit| number(hit.batches()));
    for round in 0..200 {
        one.set(SQL, &[numbers(&[round])], &none, None).unwrap();
        look_at_other_processes_now(&other);
        let start = Barrier::new(CALLERS);
        std::thread::scope(|scope| {
            for _ in 0..CALLERS {
                scope.spawn(|| {
                    start.wait();
                    assert_eq!(value(), Some(round));
                });
            }
        });
    }
}

const MAX_MB: u64 = 2;
const FEW_HITS: u64 = 100;

/// Role of a child: two writers, two readers, and evictions because of the small size.
pub(crate) fn mix(dir: &Path, seed: u64) {
    let config = format!("query_cache: {{max_size_mb: {MAX_MB}, memory_mb: 1}}");
    let config = Config::from_yaml("c", &config).unwrap();
    let cache = Cache::open_with(dir, &config).unwrap();
    let seconds = if is_full() { 60 } else { 3 };
    let end = Instant::now() + Duration::from_secs(seconds);
    let (is_over, hits) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for at in 0..2 {
            let (cache, is_over) = (&cache, &is_over);
            scope.spawn(move || {
                let mut random = Random(seed * 10 + at + 1);
                while !is_over.load(Ordering::Relaxed) {
                    write(cache, &mut random);
                }
            });
        }
        for at in 0..2 {
            let (cache, is_over, hits) = (&cache, &is_over, &hits);
            scope.spawn(move || {
                let mut random = Random(seed * 10 + at + 5);
                while !is_over.load(Ordering::Relaxed) {
                    hits.fetch_add(u64::from(read(cache, &mut random)), Ordering::Relaxed);
                }
            });
        }
        // longer on a busy machine
        let are_few = || hits.load(Ordering::Relaxed) <= FEW_HITS;
        let patience = end + Duration::from_secs(60);
        while Instant::now() < end || (are_few() && Instant::now() < patience) {
            std::thread::park_timeout(Duration::from_millis(50));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let stats = cache.get_stats();
    assert_eq!(stats.corrupt, 0, "{stats:?}");
    println!("hits {}", hits.load(Ordering::Relaxed));
}

const KEYS: usize = 200;

/// Writes an entry whose rows all identify its key and its write.
fn write(cache: &Cache, random: &mut Random) {
    let key = i64::try_from(random.below(KEYS)).unwrap();
    if random.below(300) == 0 {
        cache.invalidate("*").unwrap();
        return;
    }
    let value = key * 1_000_000 + i64::try_from(random.below(1_000_000)).unwrap();
    let rows: Vec<i64> = (0..2000).flat_map(|at| [value, at * at * value]).collect();
    cache
        .set(SQL, &[numbers(&rows)], &params! { key: key }, None)
        .unwrap();
}

fn read(cache: &Cache, random: &mut Random) -> bool {
    let key = i64::try_from(random.below(KEYS)).unwrap();
    let Some(hit) = cache.get(SQL, &params! { key: key }) else {
        return false;
    };
    assert_eq!(hit.batches().len(), 1);
    let column = hit.batches()[0].column(0).as_any();
    let rows = column.downcast_ref::<Int64Array>().unwrap().values();
    assert_eq!(rows.len(), 4000);
    assert_eq!(rows[0] / 1_000_000, key);
    for (at, pair) in (0..).zip(rows.chunks_exact(2)) {
        assert_eq!(pair, [rows[0], at * at * rows[0]]);
    }
    true
}

#[test]
fn two_processes_of_writers_readers_and_evictors_never_see_half_of_anything() {
    let dir = tempfile::tempdir().unwrap();
    let children: Vec<_> = (1..=2)
        .map(|seed| Process::start(&format!("mix {seed}"), dir.path()))
        .collect();
    for mut child in children {
        let hits: u64 = child
            .wait_for("hits ")
            .expect("the child panicked")
            .parse()
            .unwrap();
        assert!(hits > FEW_HITS, "{hits}");
        child.succeeds();
    }
    let size: u64 = std::fs::read_dir(dir.path().join("v1"))
        .unwrap()
        .flat_map(|part| std::fs::read_dir(part.unwrap().path()).unwrap())
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    let limit = (MAX_MB << 20) + (MAX_MB << 20) / 10;
    assert!(size <= limit, "{size} bytes of {limit}");
    let cache = Cache::open(dir.path()).unwrap();
    let mut random = Random(99);
    for _ in 0..2 * KEYS {
        read(&cache, &mut random);
    }
    assert_eq!(cache.get_stats().corrupt, 0);
}

/// Role of a child: queries one result; the computation ends once `processes` processes query it.
pub(crate) fn ask_cold(dir: &Path, processes: usize) {
    let cache = Cache::open(dir.join("cache")).unwrap();
    let own = std::process::id();
    std::fs::write(dir.join(format!("asks-{own}")), "").unwrap();
    let batches = cache.get_or_compute(SQL, &Params::new(), None, || {
        std::fs::write(dir.join(format!("computes-{own}")), "").unwrap();
        while count_of(dir, "asks-") < processes {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        Ok::<_, String>(vec![numbers(&[7])])
    });
    assert_eq!(number(&batches.unwrap()), 7);
    println!("answered");
}

/// Role of a child: computes, and never ends.
pub(crate) fn compute_for_ever(dir: &Path) {
    let cache = Cache::open(dir.join("cache")).unwrap();
    let _ = cache.get_or_compute(SQL, &Params::new(), None, || -> Result<_, String> {
        println!("computing");
        loop {
            std::thread::park();
        }
    });
}

fn count_of(dir: &Path, start: &str) -> usize {
    let names = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    names
        .filter(|name| name.to_str().unwrap().starts_with(start))
        .count()
}

#[test]
fn eight_processes_compute_a_cold_key_once() {
    let dir = tempfile::tempdir().unwrap();
    let children: Vec<_> = (0..8)
        .map(|_| Process::start("cold 8", dir.path()))
        .collect();
    for mut child in children {
        assert!(child.wait_for("answered").is_some(), "the child panicked");
        child.succeeds();
    }
    assert_eq!(count_of(dir.path(), "computes-"), 1);
}

#[test]
fn another_process_computes_when_the_one_that_did_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = Process::start("hold", dir.path());
    assert!(holder.wait_for("computing").is_some());
    let mut other = Process::start("cold 1", dir.path());
    while count_of(dir.path(), "asks-") == 0 {
        std::thread::park_timeout(Duration::from_millis(1));
    }
    assert_eq!(count_of(dir.path(), "computes-"), 0);
    holder.kill();
    assert!(other.wait_for("answered").is_some());
    other.succeeds();
    assert_eq!(count_of(dir.path(), "computes-"), 1);
}

#[tokio::test]
async fn waiting_for_many_results_of_another_process_stalls_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (holder, other) = two_on(dir.path());
    // more than the number of workers of a cache
    let held: Vec<_> = (0..40).map(|n| format!("SELECT {n}")).collect();
    let (computing, may_end) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let holding: Vec<_> = held
        .iter()
        .map(|sql| {
            let (holder, sql) = (holder.clone(), sql.clone());
            let (computing, may_end) = (computing.clone(), may_end.clone());
            std::thread::spawn(move || {
                let compute = || {
                    computing.fetch_add(1, Ordering::SeqCst);
                    while !may_end.load(Ordering::SeqCst) {
                        std::thread::park_timeout(Duration::from_millis(1));
                    }
                    Ok::<_, String>(vec![numbers(&[1])])
                };
                holder
                    .get_or_compute(&sql, &Params::new(), None, compute)
                    .unwrap()
            })
        })
        .collect();
    while computing.load(Ordering::SeqCst) < 40 {
        tokio::task::yield_now().await;
    }
    let ask = |sql: String, value: i64| {
        let other = other.clone();
        async move {
            let compute = async move { Ok::<_, String>(vec![numbers(&[value])]) };
            let found = other
                .get_or_compute_async(&sql, &Params::new(), None, compute)
                .await;
            number(&found.unwrap())
        }
    };
    let waiting: Vec<_> = held
        .iter()
        .map(|sql| tokio::spawn(ask(sql.clone(), 2)))
        .collect();
    for n in 100..200 {
        let asked = tokio::time::timeout(Duration::from_secs(30), ask(format!("SELECT {n}"), n));
        assert_eq!(asked.await.unwrap(), n, "it waits behind those that wait");
    }
    may_end.store(true, Ordering::SeqCst);
    for found in waiting {
        assert_eq!(found.await.unwrap(), 1);
    }
    for computed in holding {
        assert_eq!(number(&computed.join().unwrap()), 1);
    }
}

#[test]
fn a_result_that_is_not_stored_keeps_no_other_process_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = two_on(dir.path());
    let start = Instant::now();
    let both = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        for (cache, value) in [(&one, 1), (&other, 2)] {
            let both = &both;
            scope.spawn(move || {
                both.wait();
                let batches = cache.get_or_compute(SQL, &Params::new(), Some(0), || {
                    Ok::<_, String>(vec![numbers(&[value])])
                });
                assert_eq!(number(&batches.unwrap()), value);
            });
        }
    });
    // a computation of another process is waited for 60 s
    assert!(start.elapsed() < Duration::from_secs(50));
}

#[test]
fn statistics_follow_what_another_process_invalidated() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = two_on(dir.path());
    for at in 0..10 {
        one.set(SQL, &[numbers(&[at])], &params! { at: at }, None)
            .unwrap();
    }
    assert_eq!(one.get_stats().entries, 10);
    assert_eq!(other.invalidate("*").unwrap(), 10);
    look_at_other_processes_now(&one);
    one.get_stats();
    assert!(one.flush(Duration::from_secs(20)));
    let stats = one.get_stats();
    assert_eq!(
        (stats.entries, stats.evicted_invalidated),
        (0, 10),
        "{stats:?}"
    );
}

#[test]
fn a_removal_that_is_seen_before_its_invalidation_is_noticed_counts_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = two_on(dir.path());
    let rounds = 20;
    for round in 0..rounds {
        one.set(SQL, &[numbers(&[round])], &params! { round: round }, None)
            .unwrap();
        look_at_other_processes_now(&one);
        // it has just checked, and checks again only after a while
        one.get_stats();
        assert_eq!(other.invalidate("*").unwrap(), 1);
        assert_eq!(one.get_stats().entries, 0);
    }
    look_at_other_processes_now(&one);
    one.get_stats();
    assert!(one.flush(Duration::from_secs(20)));
    let stats = one.get_stats();
    assert_eq!(
        (stats.entries, stats.evicted_invalidated),
        (0, 20),
        "{stats:?}"
    );
}
