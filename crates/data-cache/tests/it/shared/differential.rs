//! Replicas with random queries, while databases are replaced,
//! results invalidated, and the bucket fails: no result is wrong.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use data_cache::testing::TempDir;
use data_cache::{Cache, CachedWarehouse, Params, SharedConfig, Status, Tier, Warehouse, params};
use dev::moto::Moto;

use super::proxy::{Fault, Proxy};
use super::{bucket, hurried, is_long};
use crate::batches::{number, numbers};

const SQL: &str = "SELECT coalesce(sum(n), 0)::BIGINT AS n FROM t WHERE n < $limit";
const REPLICAS: usize = 4;
const VERSIONS: i64 = 5;
/// Time within which other replicas notice an invalidation, plus a margin for a busy machine.
const BOUND: Duration = Duration::from_secs(35);

/// Random numbers, the same in each run, and hardly the same in two threads.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Returns the bytes of a database for each version: multiples of different numbers.
fn versions() -> Vec<Vec<u8>> {
    let of = |version: i64| {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("w.duckdb");
        let warehouse = Warehouse::open(&path).unwrap();
        let factor = version + 1;
        let batch = format!("CREATE TABLE t AS SELECT range * {factor} AS n FROM range(1000)");
        warehouse.execute_batch(&batch).unwrap();
        drop(warehouse);
        fs::read(&path).unwrap()
    };
    (0..VERSIONS).map(of).collect()
}

fn right_answer(version: i64, limit: i64) -> i64 {
    (0..1000)
        .map(|n| n * (version + 1))
        .filter(|n| *n < limit)
        .sum()
}

/// Data of the application: a growing number from which results are computed.
#[derive(Default)]
struct Source {
    value: AtomicI64,
    /// Values below which nothing may be served, each with the time from which this holds.
    floors: Mutex<Vec<(Instant, i64)>>,
}

impl Source {
    fn floor_at(&self, moment: Instant) -> i64 {
        let floors = self.floors.lock().unwrap();
        let due = floors.iter().filter(|(from, _)| *from <= moment);
        due.map(|(_, value)| *value).max().unwrap_or(0)
    }
}

#[derive(Default)]
struct Counts {
    asked: AtomicU64,
    memory: AtomicU64,
    files: AtomicU64,
    shared: AtomicU64,
    computed: AtomicU64,
    invalidations: AtomicU64,
    not_written: AtomicU64,
    replaced: AtomicU64,
    faults: AtomicU64,
}

struct Replica<'a> {
    dir: TempDir,
    proxy: Proxy,
    random: Random,
    source: &'a Source,
    counts: &'a Counts,
    versions: &'a [Vec<u8>],
    cache: Cache,
    warehouse: CachedWarehouse,
    version: i64,
    /// Value below which this machine serves nothing, since it invalidated it.
    own_floor: i64,
}

impl<'a> Replica<'a> {
    fn new(
        seed: u64,
        url: &str,
        config: &SharedConfig,
        source: &'a Source,
        counts: &'a Counts,
        versions: &'a [Vec<u8>],
    ) -> Self {
        let (dir, proxy) = (TempDir::new().unwrap(), Proxy::new(url));
        let cache = Cache::open(dir.path().join("cache")).unwrap();
        cache.share(&config.clone().endpoint(&proxy.url)).unwrap();
        let warehouse = Self::open(&dir, &cache, &versions[0], 0);
        Self {
            dir,
            proxy,
            random: Random(seed * 0x9e37_79b9 + 1),
            source,
            counts,
            versions,
            cache,
            warehouse,
            version: 0,
            own_floor: 0,
        }
    }

    /// Opens a database file that has the same name each time.
    fn open(dir: &TempDir, cache: &Cache, bytes: &[u8], opened: u64) -> CachedWarehouse {
        let dir = dir.path().join(format!("{opened}"));
        fs::create_dir(&dir).unwrap();
        let path = dir.join("w.duckdb");
        fs::write(&path, bytes).unwrap();
        Warehouse::open_snapshot(&path)
            .unwrap()
            .cached(cache.clone())
    }

    fn step(&mut self) {
        match self.random.below(1000) {
            0..10 => self.replace(),
            10..20 => self.invalidate(),
            20..24 => self.fail(),
            24..60 => self.proxy.set(Fault::None),
            60..500 => self.query(),
            _ => self.compute(),
        }
    }

    fn replace(&mut self) {
        let opened = self.counts.replaced.fetch_add(1, Ordering::Relaxed) + 1;
        self.version = self.random.below(VERSIONS as u64) as i64;
        let bytes = &self.versions[self.version as usize];
        self.warehouse = Self::open(&self.dir, &self.cache, bytes, opened);
    }

    fn fail(&mut self) {
        self.counts.faults.fetch_add(1, Ordering::Relaxed);
        let faults = [
            Fault::Hang,
            Fault::Status(500),
            Fault::Status(409),
            Fault::LoseAnswers(1),
            Fault::LoseAnswers(3),
            Fault::Cut,
        ];
        let fault = faults[self.random.below(faults.len() as u64) as usize];
        let method = ["", "GET", "PUT"][self.random.below(3) as usize];
        self.proxy.set_for(method, "", fault);
    }

    fn query(&mut self) {
        let limit = self.random.below(60) as i64 * 20;
        let query = self.warehouse.query(SQL, params! { limit: limit });
        let answer = query.blocking().unwrap();
        let right = right_answer(self.version, limit);
        assert_eq!(number(answer.batches()), right, "{:?}", answer.status());
        let counts = self.counts;
        let count = match answer.status() {
            Status::Hit(Tier::Memory) => &counts.memory,
            Status::Hit(Tier::Disk) => &counts.files,
            Status::Hit(Tier::Shared) => &counts.shared,
            _ => &counts.computed,
        };
        count.fetch_add(1, Ordering::Relaxed);
        counts.asked.fetch_add(1, Ordering::Relaxed);
    }

    fn compute(&mut self) {
        let sql = format!("computed {}", self.random.below(20));
        let floor = self.source.floor_at(Instant::now()).max(self.own_floor);
        let source = self.source;
        let compute = || Ok::<_, String>(vec![numbers(&[source.value.load(Ordering::SeqCst)])]);
        let batches = self
            .cache
            .get_or_compute(&sql, &Params::new(), None, compute);
        let answer = number(&batches.unwrap());
        assert!(answer >= floor, "{answer}, though {floor} was invalidated");
        self.counts.asked.fetch_add(1, Ordering::Relaxed);
    }

    fn invalidate(&mut self) {
        let value = self.source.value.fetch_add(1, Ordering::SeqCst) + 1;
        self.own_floor = value;
        match self.cache.invalidate("computed *") {
            Ok(_) => {
                self.counts.invalidations.fetch_add(1, Ordering::Relaxed);
                let from = Instant::now() + BOUND;
                self.source.floors.lock().unwrap().push((from, value));
            }
            Err(_) => {
                self.counts.not_written.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[test]
fn no_answer_is_wrong_whatever_happens_to_data_and_bucket() {
    let Some(moto) = Moto::shared() else { return };
    let limit = Duration::from_secs(if is_long() { 600 } else { 2 });
    let config = hurried(&bucket(&moto), &moto.url)
        .computed()
        .poll(Duration::from_millis(500));
    let (source, counts, versions) = (Source::default(), Counts::default(), versions());
    let is_over = Arc::new(AtomicBool::new(false));
    std::thread::scope(|scope| {
        for seed in 0..REPLICAS {
            let mut replica = Replica::new(
                seed as u64 + 1,
                &moto.url,
                &config,
                &source,
                &counts,
                &versions,
            );
            let is_over = is_over.clone();
            scope.spawn(move || {
                let begin = Instant::now();
                while begin.elapsed() < limit && !is_over.load(Ordering::Relaxed) {
                    let step = std::panic::AssertUnwindSafe(|| replica.step());
                    if let Err(wrong) = std::panic::catch_unwind(step) {
                        is_over.store(true, Ordering::Relaxed);
                        std::panic::resume_unwind(wrong);
                    }
                }
            });
        }
    });
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    println!(
        "{REPLICAS} replicas, {} s: {} answers (queries: {} from memory, {} from files, {} shared, {} computed), {} databases \
         opened, {} invalidations and {} that the bucket did not take, {} faults; 0 wrong",
        limit.as_secs(),
        of(&counts.asked),
        of(&counts.memory),
        of(&counts.files),
        of(&counts.shared),
        of(&counts.computed),
        of(&counts.replaced),
        of(&counts.invalidations),
        of(&counts.not_written),
        of(&counts.faults),
    );
    assert!(of(&counts.asked) > 0);
}
