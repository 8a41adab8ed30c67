//! A warehouse behind a cache: `cargo run -p data-cache --example warehouse --features duckdb`.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::time::Instant;

use data_cache::{Cache, CachedWarehouse, Warehouse, params};

const SQL: &str = "SELECT origin, count(*) AS flights, avg(delay) AS mean_delay FROM flights \
                   WHERE origin = $origin GROUP BY origin";

fn ask(warehouse: &CachedWarehouse) -> Result<(), data_cache::Error> {
    let clock = Instant::now();
    let query = warehouse.query(SQL, params! { origin: "A7" }).keep();
    let result = query.blocking()?;
    println!("{:?} in {:?}", result.status(), clock.elapsed());
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let open = || -> Result<CachedWarehouse, data_cache::Error> {
        let cache = Cache::open(dir.path().join("cache"))?;
        Ok(Warehouse::open(dir.path().join("warehouse.duckdb"))?.cached(cache))
    };
    let warehouse = open()?;
    warehouse.execute_batch(
        "CREATE TABLE flights AS SELECT 'A' || (range % 50) AS origin, (range * 7) % 90 AS delay FROM range(3000000)",
    )?;
    ask(&warehouse)?;
    ask(&warehouse)?;
    warehouse.cache().flush(std::time::Duration::from_secs(5));
    drop(warehouse);

    println!("after a restart:");
    let warehouse = open()?;
    ask(&warehouse)?;
    println!("after a write:");
    warehouse.execute_batch("INSERT INTO flights VALUES ('A7', 5)")?;
    ask(&warehouse)?;

    let stats = warehouse.cache().get_stats();
    println!(
        "{} entries, {:.3} MB, hit ratio {:.0} %",
        stats.entries,
        stats.total_size_mb,
        stats.hit_ratio * 100.0
    );
    Ok(())
}
