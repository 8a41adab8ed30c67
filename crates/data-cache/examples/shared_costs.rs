//! Time of the same result from memory, from a file, from the bucket of other machines, and recomputed:
//! `cargo run --release -p data-cache --example shared_costs --features duckdb,shared -- http://127.0.0.1:8333 bucket`.
//! Without arguments the bucket is left out.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::time::{Duration, Instant};

use data_cache::arrow::array::RecordBatch;
use data_cache::{Cache, CachedWarehouse, Config, Params, SharedConfig, Status, Tier, Warehouse};

type Failure = Box<dyn std::error::Error>;

const ROWS: &str = "CREATE TABLE t AS SELECT range AS n, (range * 7919) % 1000003 AS a, (range % 977) * 0.25 AS b, \
                    'k' || (range % 5000) AS c FROM range(3000000)";
const QUERIES: [(&str, &str); 2] = [
    (
        "10 k x 8",
        "SELECT n % 10000 AS k, count(*) AS n, sum(a)::BIGINT AS s, avg(b) AS m, min(c) AS lo, max(c) AS hi, \
         max(a) AS top, min(b) AS least FROM t GROUP BY 1 ORDER BY 1",
    ),
    (
        "1 M x 5",
        "SELECT n % 1000000 AS k, count(*) AS n, sum(a)::BIGINT AS s, avg(b) AS m, max(a) AS top FROM t GROUP BY 1 ORDER BY 1",
    ),
];
const RUNS: usize = 9;

/// Runs a query and returns its time; fails if the result has another origin.
fn ask(warehouse: &CachedWarehouse, sql: &str, from: Status) -> Result<Duration, Failure> {
    let query = warehouse
        .query(sql, Params::new())
        .ttl(Duration::from_secs(3600));
    let clock = Instant::now();
    let answer = query.blocking()?;
    let took = clock.elapsed();
    match answer.status() == from {
        true => Ok(took),
        false => Err(format!("expected {from:?}, got {:?}", answer.status()).into()),
    }
}

/// Returns the median in milliseconds; a dash without measurements.
fn median(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let median = times.get(times.len() / 2);
    median.map_or("-".to_owned(), |time| {
        format!("{:.3}", time.as_secs_f64() * 1e3)
    })
}

fn main() -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let database = dir.path().join("w.duckdb");
    let warehouse = Warehouse::open(&database)?;
    warehouse.execute_batch(ROWS)?;
    drop(warehouse);
    let mut arguments = std::env::args().skip(1);
    let shared = match (arguments.next(), arguments.next()) {
        (Some(url), Some(bucket)) => Some(
            SharedConfig::s3(bucket)
                .endpoint(url)
                .region("us-east-1")
                .credentials("test", "test")
                .min_compute(Duration::ZERO)
                .key("a key that all machines know .."),
        ),
        _ => None,
    };
    let of_cache = |name: &str, memory_mb: u64, shares: bool| -> Result<CachedWarehouse, Failure> {
        let text = format!("query_cache: {{memory_mb: {memory_mb}}}");
        let cache = Cache::open_with(dir.path().join(name), &Config::from_yaml("c", &text)?)?;
        if let (Some(shared), true) = (&shared, shares) {
            cache.share(shared)?;
        }
        Ok(Warehouse::open_snapshot(&database)?.cached(cache))
    };
    let head = format!("median of {RUNS}, ms");
    println!(
        "{head:16} {:>10} {:>10} {:>10} {:>10}",
        "memory", "file", "shared", "computed"
    );
    for (name, sql) in QUERIES {
        let (in_memory, in_files) = (
            of_cache("memory", 1024, true)?,
            of_cache("files", 0, false)?,
        );
        let mut computed = Vec::new();
        for _ in 0..RUNS {
            in_memory.cache().clear()?;
            let clock = Instant::now();
            let batches: Vec<RecordBatch> = in_memory.engine().query(sql, &Params::new())?;
            computed.push(clock.elapsed());
            drop(batches);
        }
        ask(&in_memory, sql, Status::Miss)?;
        ask(&in_files, sql, Status::Miss)?;
        in_memory.cache().flush(Duration::from_secs(60));
        in_files.cache().flush(Duration::from_secs(60));
        let repeat = |warehouse: &CachedWarehouse, tier| -> Result<String, Failure> {
            let times = (0..RUNS).map(|_| ask(warehouse, sql, Status::Hit(tier)));
            Ok(median(times.collect::<Result<_, _>>()?))
        };
        let memory = repeat(&in_memory, Tier::Memory)?;
        let file = repeat(&in_files, Tier::Disk)?;
        let mut found = Vec::new();
        for run in 0..RUNS {
            if shared.is_some() {
                let other = of_cache(&format!("other {name} {run}"), 1024, true)?;
                found.push(ask(&other, sql, Status::Hit(Tier::Shared))?);
            }
        }
        println!(
            "{name:16} {memory:>10} {file:>10} {:>10} {:>10}",
            median(found),
            median(computed)
        );
    }
    Ok(())
}
