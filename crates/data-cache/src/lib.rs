//! Expensive queries once: results as Parquet files behind a memory tier, a DuckDB warehouse,
//! and HTTP caching headers.
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
//! # Guarantees
//! - Trouble inside the cache (files gone, damaged, disk full) is a miss; an error is a caller's mistake.
//! - A file is trusted after its metadata, length and SHA-256 agree; the metadata file is renamed into place last.
//! - A result computed while someone invalidated is returned to its callers, and not kept.
//! - A write through [`Warehouse`] makes every older result of that database unreachable before it starts.
//!
//! # Features
//! | feature | default | brings |
//! |---|---|---|
//! | `macros` | yes | `#[cached_query]` |
//! | `duckdb` | no | `Warehouse`, linked to the libduckdb in `DUCKDB_LIB_DIR` |
//! | `duckdb-bundled` | no | the same, DuckDB compiled from source |
//! | `http` | no | `http::CacheLayer` |
//! | `metrics` | no | `Cache::publish_metrics` |
//! | `testing` | no | `Cache::advance_clock` |
//!
//! # When not to use this
//! Results that differ per user under one SQL text, databases written by other processes while this one reads
//! them, or answers that must be fresher than their TTL without going through [`Warehouse`].
#![cfg_attr(
    not(feature = "duckdb"),
    expect(
        rustdoc::broken_intra_doc_links,
        reason = "Warehouse needs its feature"
    )
)]

mod cache;
mod config;
mod disk;
mod error;
mod event;
mod function;
mod global;
#[cfg(feature = "http")]
pub mod http;
mod params;
mod pattern;
mod sql;
mod stats;
#[cfg(feature = "duckdb")]
mod warehouse;
#[cfg(feature = "duckdb")]
mod worker;

pub use arrow;
pub use cache::{Cache, Hit, Stored};
pub use config::{Config, HttpCache, QueryCache, StableEndpoint};
#[cfg(feature = "macros")]
pub use data_cache_macros::cached_query;
pub use error::{Error, ErrorKind};
pub use event::{QueryEvent, Status, Tier};
#[doc(hidden)]
pub use function::FunctionCall;
pub use global::{get_cache, install};
pub use params::{Params, Value};
pub use sql::sanitize;
pub use stats::{Invalidation, Stats};
#[cfg(feature = "duckdb")]
pub use warehouse::{CachedWarehouse, Query, QueryResult, Warehouse};
