//! One database queried in five ways: DuckDB alone, and a cache
//! that misses, hits in memory, hits in files, or was reopened.

use std::path::{Path, PathBuf};
use std::time::Duration;

use data_cache::arrow::array::RecordBatch;
use data_cache::arrow::util::display::{ArrayFormatter, FormatOptions};
use data_cache::{
    Cache, CachedEngine, CachedWarehouse, Config, QueryEngine, Status, Tier, Warehouse, params,
};
use duckdb::{AccessMode, Connection};

const FLUSH: Duration = Duration::from_secs(30);

/// Columns with their types, and rows as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    columns: String,
    pub(super) rows: Vec<Vec<String>>,
}

impl Shown {
    pub(super) fn of(batches: &[RecordBatch]) -> Self {
        let options = FormatOptions::default().with_null("NULL");
        let mut rows = Vec::new();
        for batch in batches {
            let columns = batch.columns().iter();
            let columns: Vec<_> = columns
                .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
                .collect();
            for row in 0..batch.num_rows() {
                rows.push(columns.iter().map(|c| c.value(row).to_string()).collect());
            }
        }
        let columns = batches.first().map(|batch| batch.schema().to_string());
        Self {
            columns: columns.unwrap_or_default(),
            rows,
        }
    }

    /// Returns `true` for the same rows in any order.
    pub(super) fn is_alike(&self, other: &Self) -> bool {
        let sorted = |shown: &Self| {
            let mut rows = shown.rows.clone();
            rows.sort();
            rows
        };
        self.columns == other.columns && (self.rows == other.rows || sorted(self) == sorted(other))
    }
}

pub(super) type Answer = Result<Shown, String>;

pub(super) fn are_alike(one: &Answer, other: &Answer) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => one.is_alike(other),
        // error texts contain paths and positions
        (Err(_), Err(_)) => true,
        _ => false,
    }
}

/// Files of the databases, below the folder of one test file.
pub(super) struct Place {
    pub(super) plain: PathBuf,
    pub(super) cached: PathBuf,
}

impl Place {
    pub(super) fn new(dir: &Path) -> Self {
        let [plain, cached] = ["one", "two"].map(|side| dir.join(side));
        for side in [&plain, &cached] {
            std::fs::create_dir_all(side).unwrap();
        }
        Self { plain, cached }
    }

    /// Copies a database that comes with the tests to both sides.
    pub(super) fn copy_from(&self, root: &Path, file: &str) {
        let source = root.join(file);
        if source.is_file() {
            for side in [&self.plain, &self.cached] {
                let target = side.join(file);
                std::fs::create_dir_all(target.parent().unwrap()).unwrap();
                std::fs::copy(&source, target).unwrap();
            }
        }
    }
}

pub(super) struct Ways {
    pub(super) plain: Connection,
    pub(super) cached: CachedWarehouse,
    /// The same warehouse through a cache with files only.
    pub(super) files: CachedWarehouse,
}

impl Ways {
    /// Opens both databases; `file` is relative to the place of each.
    pub(super) fn open(place: &Place, file: &str, is_read_only: bool) -> Result<Self, String> {
        let mode = match is_read_only {
            true => AccessMode::ReadOnly,
            false => AccessMode::ReadWrite,
        };
        let config = duckdb::Config::default().access_mode(mode).unwrap();
        let config = config
            .with("autoinstall_known_extensions", "false")
            .unwrap();
        let plain = Connection::open_with_flags(place.plain.join(file), config)
            .map_err(|error| error.to_string())?;
        let path = place.cached.join(file);
        let warehouse = match is_read_only {
            true => Warehouse::open_read_only(path),
            false => Warehouse::open(path),
        };
        let warehouse = warehouse.map_err(|error| error.to_string())?;
        let dir = place.cached.join("cache");
        let cache = |memory_mb: u64| {
            let yaml = format!("query_cache: {{memory_mb: {memory_mb}}}");
            Cache::open_with(&dir, &Config::from_yaml("c", &yaml).unwrap()).unwrap()
        };
        Ok(Self {
            plain,
            files: CachedEngine::new(warehouse.clone(), cache(0)),
            cached: warehouse.cached(cache(64)),
        })
    }

    /// Returns `true` if a warehouse accepts this as a query.
    pub(super) fn is_query(&self, sql: &str) -> bool {
        self.cached.engine().check(sql).is_ok()
    }

    /// Runs a query in DuckDB alone, in a read-only transaction, as in a warehouse.
    pub(super) fn ask_plain(&self, sql: &str) -> Answer {
        let ask = || {
            self.plain.execute_batch("BEGIN TRANSACTION READ ONLY")?;
            let mut statement = self.plain.prepare(sql)?;
            let batches: Vec<_> = statement.query_arrow([])?.collect();
            let schema = statement.schema();
            Ok(match batches.is_empty() {
                true => Shown::of(&[RecordBatch::new_empty(schema)]),
                false => Shown::of(&batches),
            })
        };
        let answer = ask().map_err(|error: duckdb::Error| error.to_string());
        let _ = self.plain.execute_batch("ROLLBACK");
        answer
    }

    /// Runs a query in the warehouse without its cache.
    pub(super) fn ask_past_the_cache(&self, sql: &str) -> Answer {
        let answer = self.cached.engine().query(sql, &params! {});
        answer
            .map(|batches| Shown::of(&batches))
            .map_err(|error| error.to_string())
    }

    /// Returns one value as text, from DuckDB alone.
    pub(super) fn scalar(&self, sql: &str, bound: &[&str]) -> String {
        let bound = duckdb::params_from_iter(bound);
        let found = self.plain.query_row(sql, bound, |row| row.get(0));
        found.unwrap_or_default()
    }
}

/// Queries through a cache; a computed result is written to a file before this returns.
pub(super) fn ask(cached: &CachedWarehouse, sql: &str) -> (Answer, Option<Status>) {
    let asked = cached.query(sql, params! {}).keep().blocking();
    let status = asked.as_ref().ok().map(|result| result.status());
    if status == Some(Status::Miss) {
        assert!(cached.cache().flush(FLUSH), "files are not written");
    }
    let answer = asked
        .map(|result| Shown::of(result.batches()))
        .map_err(|error| error.to_string());
    (answer, status)
}

pub(super) fn is_hit(status: Option<Status>, tier: Tier) -> bool {
    status == Some(Status::Hit(tier))
}
