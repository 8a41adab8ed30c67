//! Runs expensive queries once and never returns a wrong result: results as Parquet files behind a memory tier, a
//! DuckDB warehouse, and HTTP caching headers.
//!
//! ```
//! use data_cache::{Cache, Params, arrow};
//! # use std::sync::Arc;
//! # let dir = tempfile::tempdir()?;
//! let cache = Cache::open(dir.path().join("cache"))?;
//! let column: arrow::array::ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![1, 2, 3]));
//! let table = arrow::array::RecordBatch::try_from_iter([("id", column)])?;
//!
//! cache.set("SELECT * FROM large_table", &[table], &Params::new(), Some(3600))?;
//! let result = cache.get("SELECT  *  FROM large_table", &Params::new());
//! assert_eq!(result.map(|hit| hit.batches()[0].num_rows()), Some(3));
//!
//! assert_eq!(cache.invalidate("*large*")?, 1);
//! assert!(cache.get("SELECT * FROM large_table", &Params::new()).is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # In an application
//! Queries of a warehouse go through the cache; its writes make older results unreachable.
//!
//! ```
//! # #[cfg(feature = "duckdb")] {
//! use data_cache::{Cache, Status, Warehouse, params};
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path();
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let warehouse = Warehouse::open(path.join("warehouse.duckdb"))?.cached(Cache::open(path.join("cache"))?);
//! warehouse.execute_batch("CREATE TABLE flights AS SELECT 'SFO' AS origin, 1200 AS distance")?;
//!
//! let sql = "SELECT avg(distance) AS mean FROM flights WHERE origin = $o";
//! let ask = || warehouse.query(sql, params! { o: "SFO" });
//! assert_eq!(ask().await?.status(), Status::Miss);
//! assert!(matches!(ask().await?.status(), Status::Hit(_)));
//! warehouse.execute_batch("INSERT INTO flights VALUES ('SFO', 800)")?;
//! assert_eq!(ask().await?.status(), Status::Miss);
//! # Ok::<(), data_cache::Error>(())
//! # }).unwrap();
//! # }
//! ```
//!
//! # In a library
//! Take a [`Cache`] as an argument; [`get_cache`] is for
//! applications. `#[cached_query]` caches the result of a function:
//!
//! ```
//! # #[cfg(feature = "macros")] {
//! use data_cache::{arrow::{array::RecordBatch, error::ArrowError}, cached_query};
//! # use data_cache::{Cache, arrow::array::{ArrayRef, Int64Array}};
//! # use std::sync::{Arc, atomic::{AtomicUsize, Ordering}};
//! # static RUNS: AtomicUsize = AtomicUsize::new(0);
//! # fn query(user_id: i64) -> Result<Vec<RecordBatch>, ArrowError> {
//! #     RUNS.fetch_add(1, Ordering::Relaxed);
//! #     let column: ArrayRef = Arc::new(Int64Array::from(vec![user_id]));
//! #     Ok(vec![RecordBatch::try_from_iter([("id", column)])?])
//! # }
//! # let dir = tempfile::tempdir().unwrap();
//! # data_cache::install(Cache::open(dir.path()).unwrap()).unwrap();
//!
//! #[cached_query(ttl_seconds = 3600)]
//! fn get_user_stats(user_id: i64) -> Result<Vec<RecordBatch>, ArrowError> {
//!     query(user_id)
//! }
//!
//! let stats1 = get_user_stats(123).unwrap(); // first call: a miss, the query runs
//! let stats2 = get_user_stats(123).unwrap(); // second call: a hit
//! assert_eq!(stats1, stats2);
//! # assert_eq!(RUNS.load(Ordering::Relaxed), 1);
//! # }
//! ```
//!
//! # Guarantees
//! - A failure inside the cache (missing or damaged files, a full disk, a changed clock) does not fail a query:
//!   a lookup misses and a result is not stored, each with a reason. Nothing here panics.
//! - A file is used only if its length and its digest (XXH3, 128 bits) match its metadata, which is sealed
//!   with SHA-256. The metadata file is renamed into place last: a process that is killed at any step
//!   leaves the old entry, the new one, or none.
//! - If there was an invalidation or a write while a result was
//!   computed, it is returned to its callers, but not stored.
//! - A write through `Warehouse` makes all older results of the tables that it names unreachable before it starts.
//! - Concurrent equal queries with the same TTL run once, across all processes that share the
//!   directory. The run continues while a caller waits for it, and is interrupted when none does. No
//!   caller waits forever: see [`Bypass::Reentrant`].
//! - Processes may share a directory. An invalidation by one process takes effect in all of them within 20 ms, however
//!   many entries it covers; their files are removed later. A result that one process replaces leaves the memory of the
//!   others within one second.
//! - `max_size_mb` limits the blocks of the entries' files. At the limit, the entries are evicted that save least
//!   compute time for their size and whose last use is longest ago, down to 90 %. An entry of at most 16 KiB takes one
//!   file.
//!
//! # Errors
//! - [`ErrorKind::Input`]: the call is invalid, and would fail again.
//! - [`ErrorKind::Io`]: a file, directory or thread could not be prepared, or an invalidation could not be completed.
//! - [`ErrorKind::Engine`]: the engine's error; a retry makes sense if it does for the engine.
//! - [`ErrorKind::Unavailable`]: the engine is unavailable; the same call may succeed later.
//!
//! # Feature flags
//! | feature | default | brings |
//! |---|---|---|
//! | `macros` | yes | `#[cached_query]` |
//! | `duckdb` | no | `Warehouse`, linked to the libduckdb in `DUCKDB_LIB_DIR` |
//! | `duckdb-bundled` | no | the same, DuckDB compiled from source |
//! | `flight-sql` | no | `FlightSql`: an Arrow Flight SQL server as the engine |
//! | `http` | no | `http::CacheLayer`, `http::Validator` |
//! | `metrics` | no | `Cache::publish_metrics` |
//! | `shared` | no | `Cache::share`: results of the same database, shared by machines through an S3 bucket |
//! | `testing` | no | `testing`: a manual clock, failure injection, a temporary directory, the contract of engines |
//!
//! # When not to use it
//! Databases that other processes write to while this one reads them; results that must be fresher than their TTL
//! without going through `Warehouse`; results that differ per user for the same SQL text, unless each user has a
//! [`Scope`]; a directory on a network file system without locks.

mod cache;
mod cancel;
mod clock;
mod compact;
mod config;
mod disk;
mod engine;
mod error;
mod etag;
mod event;
mod failpoint;
mod flight;
#[cfg(feature = "flight-sql")]
mod flight_sql;
mod function;
mod global;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "http")]
mod http_stats;
mod index;
mod invalidations;
mod key;
mod memory;
mod params;
mod pattern;
mod pool;
mod profile;
mod query;
mod scope;
#[cfg(feature = "shared")]
mod shared_tier;
#[cfg(not(feature = "shared"))]
#[path = "shared_tier/absent.rs"]
mod shared_tier;
mod sql;
mod stats;
mod sync;
mod target;
#[cfg(feature = "testing")]
pub mod testing;
mod ttl;
#[cfg(feature = "duckdb")]
mod warehouse;

pub use arrow;
pub use cache::{Cache, Hit, Job, Lookup, Skip, Stored};
pub use cancel::Cancel;
pub use config::{
    Codec, Config, Durability, HttpCache, QueryCache, SharedSettings, StableEndpoint,
};
#[cfg(feature = "macros")]
pub use data_cache_macros::cached_query;
pub use engine::{QueryEngine, State};
pub use error::{Error, ErrorKind};
pub use etag::compute_etag;
pub use event::{QueryEvent, Status, Tier};
#[cfg(feature = "flight-sql")]
pub use flight_sql::{FlightSql, FlightSqlConfig};
#[doc(hidden)]
pub use function::{FunctionCall, FunctionSite};
pub use global::{get_cache, init, install};
pub use key::Key;
pub use params::{Params, Value};
pub use profile::{MAX_OPERATORS, Operator, OperatorKind, Profile};
pub use query::{CachedEngine, Query, QueryResult};
pub use scope::Scope;
#[cfg(feature = "shared")]
pub use shared_tier::{SharedConfig, SharedStats};
pub use sql::{Dialect, sanitize};
pub use stats::{Bypass, Invalidation, Miss, Stats, TopEntry};
#[cfg(feature = "duckdb")]
pub use warehouse::{CachedWarehouse, Warehouse};

#[cfg(all(doctest, feature = "duckdb", feature = "macros"))]
#[doc = include_str!("../README.md")]
struct Readme;
