//! Replicas: processes with their own directories, on one bucket. A
//! separate test binary, since many processes leave no CPU for other tests.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod child;
mod weed;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use data_cache::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use data_cache::testing::TempDir;
use data_cache::{
    Bypass, Cache, CachedEngine, Cancel, Error, Params, QueryEngine, SharedConfig, State, Status,
    Warehouse, params,
};
use dev::moto::Moto;
use dev::role::{Process, wait_for_parent};

use self::weed::Weed;

const LIMIT: Duration = Duration::from_secs(60);
/// The lease of 5 s since its last observed change, a pause of half a second, and a margin for a busy machine; below
/// the 30 s after which a waiting machine computes in any case.
const WITHIN_THE_LEASE: Duration = Duration::from_secs(20);
const SQL: &str = "SELECT count(*)::BIGINT AS n FROM t a, t b WHERE (a.n * b.n + $salt) % 7 = 3";

fn write(dir: &Path, name: &str, text: &str) {
    fs::write(dir.join("part"), text).unwrap();
    fs::rename(dir.join("part"), dir.join(name)).unwrap();
}

fn config_in(dir: &Path) -> SharedConfig {
    let text = fs::read_to_string(dir.join("bucket")).unwrap();
    let (bucket, url) = text.split_once(' ').unwrap();
    SharedConfig::s3(bucket)
        .endpoint(url)
        .region("us-east-1")
        .credentials("test", "test")
        // the result must not depend on the load of the machine
        .patience(LIMIT)
        .key([42; 32])
}

/// Role of a child: queries one cold key after another, each on command.
pub(crate) fn ask_cold(dir: &Path, role: &str) {
    let (own, runs) = role.split_once(' ').unwrap();
    let (own, runs) = (dir.join(format!("replica-{own}")), runs.parse().unwrap());
    fs::create_dir(&own).unwrap();
    fs::copy(dir.join("w.duckdb"), own.join("w.duckdb")).unwrap();
    let cache = Cache::open(own.join("cache")).unwrap();
    // a holder that is too busy to renew its lease must not lose it
    cache.share(&config_in(dir).lease(LIMIT)).unwrap();
    let warehouse = Warehouse::open_snapshot(own.join("w.duckdb")).unwrap();
    let warehouse = warehouse.cached(cache.clone());
    // it is running, and has checked its bucket
    let begin = Instant::now();
    while cache.shared_stats().unwrap().is_conditional.is_none() {
        assert!(begin.elapsed() < LIMIT, "{:?}", cache.shared_stats());
        std::thread::park_timeout(Duration::from_millis(20));
    }
    println!("ready");
    for run in 0..runs {
        wait_for_parent();
        let query = warehouse.query(SQL, params! { salt: run });
        let answer = query.blocking().unwrap();
        let computed = usize::from(answer.status() == Status::Miss);
        assert!(cache.flush(LIMIT));
        let value = number(answer.batches());
        println!(
            "answered {computed} {value} {:?}",
            cache.shared_stats().unwrap()
        );
    }
}

/// Returns a closed database file with the numbers below `rows`.
fn database(rows: i64) -> TempDir {
    let dir = TempDir::new().unwrap();
    let warehouse = Warehouse::open(dir.path().join("w.duckdb")).unwrap();
    let batch = format!("CREATE TABLE t AS SELECT range AS n FROM range({rows})");
    warehouse.execute_batch(&batch).unwrap();
    dir
}

fn numbers(value: i64) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![value]));
    RecordBatch::try_from_iter([("n", column)]).unwrap()
}

fn number(batches: &[RecordBatch]) -> i64 {
    let column = batches[0].column(0).as_any();
    column.downcast_ref::<Int64Array>().unwrap().value(0)
}

/// Makes this many running processes query cold keys at once. At most two of them may compute one.
fn computes(url: &str, bucket: &str, rows: i64, replicas: usize, runs: i64) -> Vec<usize> {
    let dir = database(rows);
    write(dir.path(), "bucket", &format!("{bucket} {url}"));
    let mut children: Vec<_> = (0..replicas)
        .map(|own| Process::start(&format!("replica {own} {runs}"), dir.path()))
        .collect();
    for child in &mut children {
        assert!(child.wait_for("ready").is_some(), "the child panicked");
    }
    let mut all = Vec::new();
    for run in 0..runs {
        children.iter_mut().for_each(Process::resume);
        let (mut who_computed, mut right) = (Vec::new(), None);
        for child in &mut children {
            let answer = child.wait_for("answered ").unwrap();
            let mut words = answer.splitn(3, ' ');
            let has_computed = words.next() == Some("1");
            let value = words.next().unwrap().to_owned();
            assert_eq!(
                *right.get_or_insert_with(|| value.clone()),
                value,
                "run {run}"
            );
            if has_computed {
                who_computed.push(words.next().unwrap().to_owned());
            }
        }
        let computed = who_computed.len();
        assert!(computed > 0, "nobody computed run {run}");
        println!("cold key {run}: {computed} of {replicas} replicas computed it");
        assert!(computed <= 2, "{who_computed:#?}");
        all.push(computed);
    }
    children.into_iter().for_each(Process::succeeds);
    all
}

#[test]
fn four_replicas_compute_a_cold_key_once() {
    let Some(moto) = Moto::shared() else { return };
    moto.bucket("cold");
    // moto checks and writes in two steps, so two processes may be first
    computes(&moto.url, "cold", 12_000, 4, 2);
}

#[test]
fn sixty_four_replicas_compute_a_cold_key_once_on_seaweedfs() {
    let Some(weed) = Weed::start() else { return };
    weed.bucket("replicas");
    let mut computed = computes(&weed.url, "replicas", 12_000, 64, 10);
    println!("64 replicas, computes of ten cold keys: {computed:?}");
    computed.sort_unstable();
    assert_eq!(computed[computed.len() / 2], 1, "{computed:?}");
}

/// An engine whose queries end at once, or never.
struct Endless(bool);

impl QueryEngine for Endless {
    fn identity(&self) -> String {
        "endless".to_owned()
    }

    fn state(&self, _: &str) -> Result<State, Bypass> {
        let (token, tables) = ("1".to_owned(), Vec::new());
        Ok(State { token, tables })
    }

    fn content(&self) -> Option<String> {
        Some("the same".to_owned())
    }

    fn run(&self, _: &str, _: &Params, _: &Cancel) -> Result<Vec<RecordBatch>, Error> {
        if self.0 {
            println!("computing");
            loop {
                std::thread::park();
            }
        }
        Ok(vec![numbers(7)])
    }
}

fn replica(dir: &Path, config: &SharedConfig, is_endless: bool) -> CachedEngine<Endless> {
    let cache = Cache::open(dir.join("cache")).unwrap();
    cache.share(config).unwrap();
    CachedEngine::new(Endless(is_endless), cache)
}

/// Role of a child: computes, and never ends.
pub(crate) fn compute_for_ever(dir: &Path) {
    let engine = replica(&dir.join("holder"), &config_in(dir), true);
    let _ = engine.query("SELECT 7", params! {}).blocking();
}

/// Returns the time that another replica took for the result that the killed one was computing.
fn time_after_kill(url: &str, bucket: &str) -> Duration {
    let dir = TempDir::new().unwrap();
    write(dir.path(), "bucket", &format!("{bucket} {url}"));
    let mut holder = Process::start("endless", dir.path());
    assert!(holder.wait_for("computing").is_some());
    let other = Arc::new(replica(
        &dir.path().join("other"),
        &config_in(dir.path()),
        false,
    ));
    let (asked, killed) = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let answer = other.query("SELECT 7", params! {}).blocking().unwrap();
            assert_eq!(
                (answer.status(), number(answer.batches())),
                (Status::Miss, 7)
            );
            Instant::now()
        });
        while other.cache().shared_stats().unwrap().waited == 0 {
            assert!(
                !asking.is_finished(),
                "it did not wait: {:?}",
                other.cache().shared_stats()
            );
            std::thread::park_timeout(Duration::from_millis(1));
        }
        holder.kill();
        let killed = Instant::now();
        (asking.join().unwrap(), killed)
    });
    let stats = other.cache().shared_stats().unwrap();
    assert_eq!((stats.failed, stats.leases), (0, 1));
    asked.saturating_duration_since(killed)
}

#[test]
fn another_replica_computes_within_the_lease_when_the_one_that_did_is_killed() {
    let Some(moto) = Moto::shared() else { return };
    moto.bucket("killed");
    let took = time_after_kill(&moto.url, "killed");
    assert!(took < WITHIN_THE_LEASE, "{took:?}");
}

#[test]
fn another_replica_computes_within_the_lease_on_seaweedfs() {
    let Some(weed) = Weed::start() else { return };
    weed.bucket("killed");
    let took = time_after_kill(&weed.url, "killed");
    assert!(took < WITHIN_THE_LEASE, "{took:?}");
    println!("killed holder on SeaweedFS: the other one had its result after {took:?}");
}
