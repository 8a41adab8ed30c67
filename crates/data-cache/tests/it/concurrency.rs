use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::time::{Duration, Instant};

use data_cache::{
    Bypass, Cache, CachedEngine, Cancel, Config, Error, Params, QueryEngine, State, Status, Tier,
    Warehouse, arrow::array::RecordBatch, params,
};

use crate::batches::{number, numbers};

const SQL: &str = "SELECT 1 AS n";

/// A real engine that counts its runs.
struct Counting {
    warehouse: Warehouse,
    runs: Arc<AtomicUsize>,
}

impl QueryEngine for Counting {
    fn identity(&self) -> String {
        self.warehouse.identity()
    }

    fn state(&self, sql: &str) -> Result<State, Bypass> {
        self.warehouse.state(sql)
    }

    fn run(&self, sql: &str, params: &Params, cancel: &Cancel) -> Result<Vec<RecordBatch>, Error> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        self.warehouse.run(sql, params, cancel)
    }
}

fn counting(cache: Cache) -> (CachedEngine<Counting>, Arc<AtomicUsize>) {
    let runs = Arc::new(AtomicUsize::new(0));
    let engine = Counting {
        warehouse: Warehouse::in_memory().unwrap(),
        runs: runs.clone(),
    };
    (CachedEngine::new(engine, cache), runs)
}

const SLOW: &str =
    "SELECT count(*) AS n FROM range(3000000) a JOIN range(3000000) b ON a.range = b.range";
const ENDLESS: &str =
    "SELECT count(*) AS n FROM range(10000000) a, range(10000000) b WHERE a.range + b.range < 0";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_equal_misses_are_one_query() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, runs) = counting(Cache::open(dir.path()).unwrap());
    let asked: Vec<_> = (0..1000)
        .map(|_| tokio::spawn(engine.query(SLOW, params! {}).into_future()))
        .collect();
    for answer in asked {
        let result = answer.await.unwrap().unwrap();
        assert_eq!(number(result.batches()), 3_000_000);
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    let stats = engine.cache().get_stats();
    assert_eq!(stats.hits + stats.misses, 1000, "{stats:?}");
}

#[test]
fn those_who_wait_for_a_result_that_is_found_have_hits() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::from_yaml("c", "query_cache: {memory_mb: 0}").unwrap();
    let (engine, runs) = counting(Cache::open_with(dir.path(), &config).unwrap());
    let cache = engine.cache().clone();
    let ask = || engine.query("SELECT 7::BIGINT AS n", params! {}).keep();
    assert_eq!(ask().blocking().unwrap().status(), Status::Miss);
    assert!(cache.flush(Duration::from_secs(20)));
    // the first one looks once all others wait for it
    let looked = cache.clone();
    cache.carry_context(move |job| {
        let cache = looked.clone();
        Box::new(move || {
            while cache.get_stats().coalesced < 3 {
                std::thread::yield_now();
            }
            job();
        })
    });
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let result = ask().blocking().unwrap();
                assert_eq!(result.status(), Status::Hit(Tier::Disk));
            });
        }
    });
    let stats = cache.get_stats();
    assert_eq!((stats.hits, stats.disk_hits, stats.misses), (4, 4, 1));
    assert_eq!((runs.load(Ordering::SeqCst), stats.coalesced), (1, 3));
}

#[test]
fn a_thousand_threads_compute_once() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let runs = AtomicUsize::new(0);
    let all = Barrier::new(1000);
    std::thread::scope(|scope| {
        for _ in 0..1000 {
            scope.spawn(|| {
                all.wait();
                let batches = cache.get_or_compute(SQL, &Params::new(), None, || {
                    runs.fetch_add(1, Ordering::SeqCst);
                    Ok::<_, String>(vec![numbers(&[7])])
                });
                assert_eq!(number(&batches.unwrap()), 7);
            });
        }
    });
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[test]
fn what_fails_is_tried_by_the_next_and_never_kept() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let runs = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let _ = cache.get_or_compute(SQL, &Params::new(), None, || {
                    match runs.fetch_add(1, Ordering::SeqCst) {
                        0..5 => Err("not yet"),
                        _ => Ok(vec![numbers(&[7])]),
                    }
                });
            });
        }
    });
    assert_eq!(runs.load(Ordering::SeqCst), 6);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        cache.get_or_compute("SELECT 2", &Params::new(), None, || -> Result<_, ()> {
            panic!("on purpose")
        })
    }));
    assert!(panicked.is_err());
    let after = cache.get_or_compute("SELECT 2", &Params::new(), None, || {
        Ok::<_, ()>(vec![numbers(&[2])])
    });
    assert_eq!(number(&after.unwrap()), 2);
}

#[test]
fn a_caller_that_waits_for_many_failures_is_coalesced_once() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                let answer = cache.get_or_compute(SQL, &Params::new(), None, || {
                    // the first one waits until all others wait for it
                    while cache.get_stats().coalesced < 9 {
                        std::thread::yield_now();
                    }
                    Err::<Vec<RecordBatch>, _>("always")
                });
                assert_eq!(answer.unwrap_err(), "always");
            });
        }
    });
    let stats = cache.get_stats();
    assert_eq!((stats.misses, stats.coalesced), (10, 9));
}

#[test]
fn what_is_invalidated_while_it_is_computed_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let other_process = Cache::open(dir.path()).unwrap();
    let invalidations: [&dyn Fn(); 4] = [
        &|| assert_eq!(cache.invalidate("*").unwrap(), 0),
        &|| assert_eq!(cache.clear().unwrap(), 0),
        &|| assert_eq!(cache.invalidate_table("t").unwrap(), 0),
        &|| assert_eq!(other_process.invalidate("*").unwrap(), 0),
    ];
    for invalidate in invalidations {
        let batches = cache.get_or_compute("SELECT n FROM t", &Params::new(), None, || {
            invalidate();
            Ok::<_, String>(vec![numbers(&[1])])
        });
        assert_eq!(number(&batches.unwrap()), 1);
        assert!(cache.get("SELECT n FROM t", &Params::new()).is_none());
        assert!(
            other_process
                .get("SELECT n FROM t", &Params::new())
                .is_none()
        );
    }
}

#[test]
fn a_write_while_a_query_runs_keeps_its_result_out() {
    let dir = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::in_memory()
        .unwrap()
        .cached(Cache::open(dir.path()).unwrap());
    warehouse
        .execute_batch("CREATE TABLE t AS SELECT range AS a FROM range(2000000)")
        .unwrap();
    let sql = "SELECT count(DISTINCT a % 1000003) + (SELECT count(*) FROM t) AS n FROM t";
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            sender.send(()).unwrap();
            warehouse.query(sql, params! {}).blocking().unwrap();
        });
        receiver.recv().unwrap();
        warehouse
            .execute_batch("INSERT INTO t VALUES (-1)")
            .unwrap();
    });
    let expected = number(&warehouse.engine().query(sql, &params! {}).unwrap());
    for _ in 0..2 {
        let answer = warehouse.query(sql, params! {}).blocking().unwrap();
        assert_eq!(number(answer.batches()), expected);
    }
}

#[tokio::test]
async fn a_leader_that_is_cancelled_300_times_leaves_an_answer_to_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = counting(Cache::open(dir.path()).unwrap());
    let mut cancelled = 0;
    for _ in 0..300 {
        let asked = engine.query(SLOW, params! {}).into_future();
        // polled once, so that it starts, and then dropped
        match tokio::time::timeout(Duration::ZERO, asked).await {
            Err(_) => cancelled += 1,
            // on a busy machine, one of them may finish before it is interrupted
            Ok(answer) => assert_eq!(number(answer.unwrap().batches()), 3_000_000),
        }
    }
    assert!(cancelled > 0);
    let asked = Instant::now();
    let answer = engine.query(SLOW, params! {}).await.unwrap();
    println!(
        "{cancelled} of 300 callers were cancelled in a query, the next waited {:.2?} for its answer",
        asked.elapsed()
    );
    assert_eq!(number(answer.batches()), 3_000_000);

    let cache = engine.cache().clone();
    let (runs, none) = (Arc::new(AtomicUsize::new(0)), Params::new());
    for _ in 0..300 {
        let counted = runs.clone();
        let compute = async move {
            tokio::task::yield_now().await;
            counted.fetch_add(1, Ordering::SeqCst);
            Ok::<_, String>(vec![numbers(&[9])])
        };
        let asked = cache.get_or_compute_async("SELECT 9", &none, None, compute);
        let _ = tokio::time::timeout(Duration::ZERO, asked).await;
    }
    let compute = async { Err("the detached leader has not kept its result") };
    let asked = Instant::now();
    let answer = cache
        .get_or_compute_async("SELECT 9", &none, None, compute)
        .await;
    println!(
        "300 callers were cancelled in a computation, the next waited {:.2?} for its answer",
        asked.elapsed()
    );
    assert_eq!(number(&answer.unwrap()), 9);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_run_goes_on_while_somebody_waits_and_is_interrupted_when_nobody_does() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, runs) = counting(Cache::open(dir.path()).unwrap());
    // one caller leaves, the other gets the result of the same run; on a busy machine, it may have ended before
    let mut has_left = false;
    for at in 0..20 {
        let ask = || {
            let query = engine.query(format!("{SLOW} AND {at} = {at}"), params! {});
            query.into_future()
        };
        let stays = tokio::spawn(ask());
        has_left = tokio::time::timeout(Duration::ZERO, ask()).await.is_err();
        assert_eq!(number(stays.await.unwrap().unwrap().batches()), 3_000_000);
        if has_left {
            break;
        }
    }
    assert!(has_left);
    // more endless queries than there are connections: each must be interrupted for the next to begin
    for at in 0..6 {
        let sql = format!("{ENDLESS} + {at}");
        let before = runs.load(Ordering::SeqCst);
        let asked = tokio::spawn(engine.query(sql, params! {}).into_future());
        while runs.load(Ordering::SeqCst) == before {
            tokio::task::yield_now().await;
        }
        asked.abort();
        assert!(asked.await.unwrap_err().is_cancelled());
    }
    let limit = Duration::from_secs(20);
    let last = tokio::time::timeout(
        limit,
        engine
            .query("SELECT 5::BIGINT AS n", params! {})
            .into_future(),
    );
    assert_eq!(
        number(last.await.expect("a connection is free").unwrap().batches()),
        5
    );
}

#[test]
fn an_error_reaches_everybody_who_waits_and_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, runs) = counting(Cache::open(dir.path()).unwrap());
    let sql = "SELECT error('broken') FROM range(1)";
    for _ in 0..2 {
        let error = engine.query(sql, params! {}).blocking().unwrap_err();
        assert!(error.to_string().contains("broken"), "{error}");
    }
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    let answer = engine
        .query("SELECT 1::BIGINT AS n", params! {})
        .blocking()
        .unwrap();
    assert_eq!(answer.status(), Status::Miss);
}

/// Minimum number of hits for a meaningful test.
const FEW_HITS: usize = 20;

#[test]
fn a_reader_never_sees_less_than_what_was_written_before_it_asked() {
    let dir = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(dir.path().join("w.duckdb"))
        .unwrap()
        .cached(Cache::open(dir.path().join("cache")).unwrap());
    warehouse
        .execute_batch("CREATE TABLE t (a BIGINT); CREATE VIEW v AS SELECT * FROM t; CREATE TABLE other (a BIGINT)")
        .unwrap();
    let (written, asked, hits) = (
        AtomicUsize::new(0),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    let begin = Instant::now();
    let lasts = Duration::from_secs(if crate::batches::is_full() { 60 } else { 2 });
    // longer on a busy machine, until there are enough hits
    let is_over = || {
        let few = hits.load(Ordering::SeqCst) <= FEW_HITS;
        begin.elapsed() >= lasts && (!few || begin.elapsed() >= lasts + Duration::from_secs(60))
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over() {
                warehouse.execute_batch("INSERT INTO t VALUES (1)").unwrap();
                written.fetch_add(1, Ordering::SeqCst);
                warehouse
                    .execute_batch("INSERT INTO other VALUES (1)")
                    .unwrap();
                // some reads between two writes, so that hits are possible
                let so_far = asked.load(Ordering::SeqCst);
                while asked.load(Ordering::SeqCst) < so_far + 12 && !is_over() {
                    std::thread::yield_now();
                }
            }
        });
        for sql in [
            "SELECT count(*) AS n FROM t",
            "SELECT count(*) AS n FROM v",
            "SELECT sum(a)::BIGINT AS n FROM \"T\"",
        ] {
            let (warehouse, written, asked, hits) = (&warehouse, &written, &asked, &hits);
            let is_over = &is_over;
            scope.spawn(move || {
                while !is_over() {
                    let least = written.load(Ordering::SeqCst);
                    let result = warehouse.query(sql, params! {}).blocking().unwrap();
                    if least > 0 {
                        let seen = usize::try_from(number(result.batches())).unwrap();
                        assert!(
                            seen >= least,
                            "{sql}: {seen} after {least} writes, {:?}",
                            result.status()
                        );
                    }
                    hits.fetch_add(
                        usize::from(matches!(result.status(), Status::Hit(_))),
                        Ordering::SeqCst,
                    );
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    let hits = hits.load(Ordering::SeqCst);
    assert!(
        hits > FEW_HITS,
        "{hits} hits in {} questions",
        asked.load(Ordering::SeqCst)
    );
}
