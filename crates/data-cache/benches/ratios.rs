//! Hits compared with the work that they save, on three million flights.
//!
//! `cargo bench -p data-cache` prints everything; `-- --check` fails if a ratio is missed by 25 %. If the venv of
//! `perf/peers` exists, Python's diskcache and pyarrow read the same results in the same run.
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use data_cache::arrow::array::RecordBatch;
use data_cache::http::{CacheLayer, Validator};
use data_cache::{
    Cache, CachedWarehouse, Cancel, Config, Params, QueryEngine, Status, Warehouse, params,
};
use dev::peer::Peer;
use http_body_util::Full;
use tower::{Service, ServiceExt};

/// Ten thousand rows of eight columns, computed by a full scan.
const ROUTES: &str = "SELECT origin, destination, month(date)::INT AS month, count(*) AS flights, avg(delay) AS mean_delay, \
                      max(delay) AS worst, avg(distance) AS miles, min(date) AS first \
                      FROM flights GROUP BY ALL ORDER BY ALL LIMIT 10000";
/// A million rows of five columns.
const MANY: &str = "SELECT * FROM flights LIMIT 1000000";

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let tools = tools();
    let flights = tools.join("vega-datasets/flights-3m.parquet");
    if !flights.exists() {
        println!(
            "skipped: {} is missing; `cargo xtask setup` fetches it",
            flights.display()
        );
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let engine = Warehouse::in_memory()?;
    engine.execute_batch(&format!(
        "CREATE TABLE flights AS SELECT * FROM '{}'",
        flights.display()
    ))?;
    let results = [("10 k x 8", ROUTES), ("1 M x 5", MANY)];
    let mut ratios = dev::ratio::Ratios::from_args().by_wall_clock();
    keys(&ratios, dir.path());
    for (name, sql) in results {
        let batches = engine.query(sql, &params! {})?;
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        println!(
            "\n{name}: {rows} rows of {} columns",
            batches[0].num_columns()
        );
        let tiers = Tiers::open(&dir.path().join(name.replace(' ', "")), sql, &batches)?;
        tiers.measure(name, &mut ratios);
        tiers.against_duckdb(name, sql, &engine, &mut ratios)?;
        tiers.against_python(name, &tools.join("peers/bin/python"), &mut ratios)?;
    }
    profiles(&mut ratios, &flights)?;
    not_modified(&ratios, engine.cached(open(dir.path(), "http", "{}")?))?;
    ratios.finish();
    Ok(())
}

/// Returns the directory of the tools that `cargo xtask setup` fetched.
fn tools() -> PathBuf {
    let beside = std::env::var_os("CARGO_TARGET_DIR").map(|dir| Path::new(&dir).join("tools"));
    std::env::var_os("OPS_TOOLS")
        .map(PathBuf::from)
        .or(beside)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools"))
}

fn open(dir: &Path, name: &str, query_cache: &str) -> Result<Cache, Failure> {
    let config = Config::from_yaml("bench", &format!("query_cache: {query_cache}"))?;
    Ok(Cache::open_with(dir.join(name), &config)?)
}

fn keys(ratios: &dev::ratio::Ratios, dir: &Path) {
    let config = Config::from_yaml("bench", "query_cache: {max_size_mb: 0}").unwrap_or_default();
    let Ok(cache) = Cache::open_with(dir.join("keys"), &config) else {
        return;
    };
    let mut sql = ROUTES.to_owned();
    while sql.len() < 1024 {
        sql.push_str(" -- ");
        sql.push_str(ROUTES);
    }
    sql.truncate(1024);
    let bound = params! { origin: "SFO", month: 7 };
    ratios.report(
        "key of 1 KiB of SQL and 2 parameters (goal <= 5000 ns)",
        || {
            black_box(cache.key(black_box(&sql), &bound));
        },
    );
}

/// The same result in each tier.
struct Tiers {
    memory: Cache,
    parquet: Cache,
    ipc: Cache,
    sql: &'static str,
    parquet_dir: PathBuf,
    batches: Vec<RecordBatch>,
}

impl Tiers {
    fn open(dir: &Path, sql: &'static str, batches: &[RecordBatch]) -> Result<Self, Failure> {
        let tiers = Self {
            memory: open(dir, "memory", "{memory_mb: 2000, max_size_mb: 0}")?,
            parquet: open(dir, "parquet", "{memory_mb: 0}")?,
            ipc: open(dir, "ipc", "{memory_mb: 0, codec: ipc}")?,
            sql,
            parquet_dir: dir.join("parquet"),
            batches: batches.to_vec(),
        };
        for cache in [&tiers.memory, &tiers.parquet, &tiers.ipc] {
            cache.set(sql, batches, &Params::new(), None)?;
        }
        Ok(tiers)
    }

    fn measure(&self, name: &str, ratios: &mut dev::ratio::Ratios) {
        let key = self.memory.key(self.sql, &Params::new());
        ratios.report(
            &format!("{name}: memory hit, key at hand (goal <= 1000 ns)"),
            || {
                black_box(self.memory.get_by_key(&key));
            },
        );
        ratios.report(&format!("{name}: memory hit, key made from SQL"), || {
            black_box(self.memory.get(self.sql, &Params::new()));
        });
        for (codec, cache) in [("Parquet", &self.parquet), ("IPC", &self.ipc)] {
            ratios.report(&format!("{name}: disk hit, {codec}"), || {
                black_box(cache.get_by_key(&key));
            });
        }
        let set = |cache: &Cache| {
            let stored = cache.set(self.sql, &self.batches, &Params::new(), None);
            black_box(stored).is_ok()
        };
        ratios.report(&format!("{name}: set, Parquet"), || {
            set(&self.parquet);
        });
        ratios.report(&format!("{name}: set, IPC"), || {
            set(&self.ipc);
        });
    }

    fn against_duckdb(
        &self,
        name: &str,
        sql: &str,
        engine: &Warehouse,
        ratios: &mut dev::ratio::Ratios,
    ) -> Result<(), Failure> {
        let key = self.parquet.key(self.sql, &Params::new());
        let file = self.parquet_file()?;
        let read = format!("SELECT * FROM read_parquet('{}')", file.display());
        ratios.at_most(
            &format!("{name}: disk hit, Parquet, beside DuckDB's read_parquet of the same file"),
            1.0,
            || {
                black_box(self.parquet.get_by_key(&key));
            },
            ("read_parquet", || {
                black_box(engine.query(&read, &params! {}).ok());
            }),
        );
        ratios.at_most(
            &format!("{name}: disk hit, Parquet, beside computing it again"),
            1.0,
            || {
                black_box(self.parquet.get_by_key(&key));
            },
            ("recompute", || {
                black_box(engine.query(sql, &params! {}).ok());
            }),
        );
        ratios.at_most(
            &format!("{name}: memory hit beside computing it again"),
            0.001,
            || {
                black_box(self.memory.get_by_key(&key));
            },
            ("recompute", || {
                black_box(engine.query(sql, &params! {}).ok());
            }),
        );
        Ok(())
    }

    /// Compares with a Python service that uses the same codec. Never a gate: the peers are fetched on demand.
    fn against_python(
        &self,
        name: &str,
        python: &Path,
        ratios: &mut dev::ratio::Ratios,
    ) -> Result<(), Failure> {
        if ratios.is_check() {
            return Ok(());
        }
        if !python.exists() {
            println!(
                "{name}: Python comparison skipped: {} is missing",
                python.display()
            );
            return Ok(());
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../perf/peers/data-cache/diskcache_pyarrow.py");
        let key = self.parquet.key(self.sql, &Params::new());
        for (what, codec, cache, goal) in [
            ("Parquet", "parquet", &self.parquet, 1.0 / 0.8),
            ("IPC", "ipc", &self.ipc, 1.0 / 1.5),
            ("memory, beside their IPC", "ipc", &self.memory, 1.0 / 100.0),
        ] {
            let mut peer = Command::new(python);
            let mut peer = Peer::start(peer.arg(&script).arg(self.parquet_file()?).arg(codec))?;
            ratios.at_most_of(
                &format!("{name}: {what}"),
                goal,
                || {
                    black_box(cache.get_by_key(&key));
                },
                ("diskcache + pyarrow", || peer.measure()),
            )?;
        }
        Ok(())
    }

    /// Returns the current file; `set` replaces it.
    fn parquet_file(&self) -> Result<PathBuf, Failure> {
        data_file(&self.parquet_dir)
    }
}

fn data_file(dir: &Path) -> Result<PathBuf, Failure> {
    for part in std::fs::read_dir(dir.join("v1"))? {
        for file in std::fs::read_dir(part?.path())? {
            let path = file?.path();
            if path
                .extension()
                .is_some_and(|extension| extension != "json")
            {
                return Ok(path);
            }
        }
    }
    Err("no data file".into())
}

/// Measures the cost of profiling, which explains a query once it is slow.
fn profiles(ratios: &mut dev::ratio::Ratios, flights: &Path) -> Result<(), Failure> {
    // one database: the same rows at two places in memory differ by more than the measured cost
    let engine = Warehouse::in_memory()?;
    let flights = flights.display();
    engine.execute_batch(&format!(
        "CREATE TABLE flights AS SELECT * FROM '{flights}'"
    ))?;
    println!();
    let slow = Duration::from_millis(500);
    for (name, sql) in [
        (
            "a quick query",
            "SELECT max(delay) FROM flights WHERE distance = 1000",
        ),
        ("a query that takes its time", ROUTES),
    ] {
        ratios.at_most(
            &format!("{name}, with an account of it if it is slow"),
            1.02,
            || {
                let ran = engine.run_profiled(sql, &params! {}, &Cancel::default(), slow);
                black_box(ran.is_ok());
            },
            ("without", || {
                black_box(engine.run(sql, &params! {}, &Cancel::default()).is_ok());
            }),
        );
    }
    Ok(())
}

/// Measures a request for a result that the client has: through
/// the layer, the handler, the key and all freshness checks.
fn not_modified(ratios: &dev::ratio::Ratios, warehouse: CachedWarehouse) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let first = runtime.block_on(warehouse.query(ROUTES, params! {}).into_future())?;
    let etag = first.etag("json/1").ok_or("the result has no tag")?;
    let layer = CacheLayer::new(&Config::default());
    let handler = tower::service_fn(move |request: http::Request<()>| {
        let warehouse = warehouse.clone();
        async move {
            let result = warehouse.query(ROUTES, params! {}).await?;
            let validator = Validator::of(&result, "json/1");
            let is_current =
                validator.is_current(request.headers()) && result.status() != Status::Miss;
            let mut response = http::Response::new(Full::new(bytes::Bytes::new()));
            *response.headers_mut() = validator.headers().clone();
            if is_current {
                *response.status_mut() = http::StatusCode::NOT_MODIFIED;
            }
            Ok::<_, data_cache::Error>(response)
        }
    });
    let mut service = tower::Layer::layer(&layer, handler);
    println!();
    ratios.report("304 for a cached query (goal <= 20000 ns)", || {
        let request = http::Request::get("/routes")
            .header("if-none-match", &etag)
            .body(())
            .unwrap_or_default();
        let answer = runtime.block_on(async { service.ready().await?.call(request).await });
        assert!(answer.is_ok_and(|answer| answer.status() == http::StatusCode::NOT_MODIFIED));
    });
    Ok(())
}
