//! The same queries on DuckDB and on a Flight SQL server through one cache, and the cost of each:
//! `cargo run -p data-cache --example cluster --features duckdb,flight-sql`. With an address as argument, such as
//! `flight-sql://localhost:32010`, that server is queried instead of one in this process; it needs the table `flights`.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

#[expect(
    dead_code,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "the server of the tests"
)]
#[path = "../tests/it/flight_sql/server.rs"]
mod server;

use std::time::{Duration, Instant};

use data_cache::arrow::util::display::array_value_to_string;
use data_cache::{
    Cache, CachedEngine, Config, FlightSql, FlightSqlConfig, Params, QueryEngine, QueryResult,
    Status, Warehouse,
};

type Failure = Box<dyn std::error::Error>;

const FLIGHTS: &str = "CREATE TABLE flights AS SELECT 'A' || (range % 50) AS origin, (range * 7) % 90 AS delay, \
                       range AS id FROM range(3000000)";
const QUERIES: [(&str, &str); 3] = [
    (
        "one row",
        "SELECT count(*) AS n, avg(delay) AS mean FROM flights WHERE origin = $1",
    ),
    (
        "50 rows",
        "SELECT origin, count(*) AS n, avg(delay) AS mean FROM flights WHERE origin <> $1 GROUP BY origin ORDER BY origin",
    ),
    (
        "60 000 rows",
        "SELECT id, origin, delay FROM flights WHERE origin = $1 ORDER BY id",
    ),
];
const RUNS: usize = 15;

/// Application code, independent of the engine.
fn ask<E: QueryEngine>(engine: &CachedEngine<E>, sql: &str) -> Result<QueryResult, Failure> {
    let query = engine.query(sql, Params::positional(["A7"]));
    Ok(query.ttl(Duration::from_secs(300)).blocking()?)
}

fn main() -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let server = match std::env::args().nth(1) {
        Some(_) => None,
        None => Some(server::Server::start(FLIGHTS)),
    };
    let own = server.as_ref().map(server::Server::address);
    let address = own.or_else(|| std::env::args().nth(1)).unwrap_or_default();
    let cache = Cache::open(dir.path().join("cache"))?;
    let warehouse = Warehouse::in_memory()?;
    warehouse.execute_batch(FLIGHTS)?;
    let local = warehouse.cached(cache.clone());
    let cluster = FlightSql::open(FlightSqlConfig::new(&address))?.cached(cache);
    let files = Config::from_yaml("files", "query_cache: {memory_mb: 0}")?;
    let files = Cache::open_with(dir.path().join("files"), &files)?;
    let from_files = FlightSql::open(FlightSqlConfig::new(&address))?.cached(files);

    println!(
        "query        | DuckDB | cluster | hit in memory | hit from file   (medians of {RUNS})"
    );
    for (name, sql) in QUERIES {
        let (here, there) = (ask(&local, sql)?, ask(&cluster, sql)?);
        let is_same = shown(&here)? == shown(&there)?;
        if !is_same || here.status() != Status::Miss || there.status() != Status::Miss {
            return Err(format!(
                "{name}: same rows: {is_same}, {:?}, {:?}",
                here.status(),
                there.status()
            )
            .into());
        }
        let bound = Params::positional(["A7"]);
        ask(&from_files, sql)?;
        from_files.cache().flush(Duration::from_secs(10));
        let duckdb = median(|| {
            local
                .engine()
                .query(sql, &bound)
                .map(drop)
                .map_err(Into::into)
        })?;
        let direct = median(|| {
            cluster
                .engine()
                .query(sql, &bound)
                .map(drop)
                .map_err(Into::into)
        })?;
        let memory = median(|| hit(&cluster, sql))?;
        let file = median(|| hit(&from_files, sql))?;
        println!("{name:12} | {duckdb:6.2} | {direct:7.2} | {memory:13.3} | {file:13.3}   ms");
    }
    Ok(())
}

fn hit<E: QueryEngine>(engine: &CachedEngine<E>, sql: &str) -> Result<(), Failure> {
    match ask(engine, sql)?.status() {
        Status::Hit(_) => Ok(()),
        other => Err(format!("no hit: {other:?}").into()),
    }
}

fn shown(result: &QueryResult) -> Result<Vec<String>, Failure> {
    let mut rows = Vec::new();
    for batch in result.batches() {
        for row in 0..batch.num_rows() {
            let columns = batch.columns().iter();
            let values: Result<Vec<_>, _> =
                columns.map(|c| array_value_to_string(c, row)).collect();
            rows.push(values?.join("|"));
        }
    }
    Ok(rows)
}

/// Returns the median time in milliseconds.
fn median(work: impl Fn() -> Result<(), Failure>) -> Result<f64, Failure> {
    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let clock = Instant::now();
        work()?;
        times.push(clock.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[RUNS / 2])
}
