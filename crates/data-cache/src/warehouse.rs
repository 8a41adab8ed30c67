//! A DuckDB file, asked through the cache.

use std::collections::HashMap;
use std::future::{Future, IntoFuture};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime};

use arrow::array::RecordBatch;
use duckdb::Connection;
use parking_lot::{Mutex, RwLock};

use crate::cache::{Cache, key};
use crate::disk::unique_id;
use crate::error::Error;
use crate::event::{QueryEvent, Status};
use crate::params::Params;
use crate::sql;
use crate::worker::{Workers, run};

const THREADS: usize = 2;
const SLOW_QUERY: Duration = Duration::from_millis(500);
/// Words whose meaning is not in the database file: clocks, chance, sessions, catalogues, files.
const VOLATILE: &[&str] = &[
    "random",
    "uuid",
    "gen_random_uuid",
    "uuidv4",
    "uuidv7",
    "nextval",
    "currval",
    "setseed",
    "now",
    "today",
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
    "current_localtime",
    "current_localtimestamp",
    "get_current_time",
    "get_current_timestamp",
    "transaction_timestamp",
    "age",
    "current_setting",
    "getvariable",
    "getenv",
    "current_schema",
    "current_schemas",
    "current_database",
    "current_user",
    "session_user",
    "txid_current",
    "version",
    "information_schema",
    "pg_catalog",
    "sqlite_master",
    "sample",
    "tablesample",
    "glob",
    "sniff_csv",
    "query",
    "query_table",
    "sleep_ms",
    "write_log",
];
const READS: &[&str] = &["SELECT", "WITH", "FROM", "VALUES"];
const SESSION: &[&str] = &[
    "SET", "RESET", "USE", "ATTACH", "DETACH", "PRAGMA", "LOAD", "INSTALL",
];

/// Length and time of the last change of the database file and its log, before the engine touches them.
fn file_state(path: &Path) -> String {
    let mut log = path.as_os_str().to_owned();
    log.push(".wal");
    let describe = |path: &Path| {
        let metadata = std::fs::metadata(path).ok()?;
        let changed = metadata.modified().ok()?;
        let since = changed.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some((metadata.len(), since.as_nanos()))
    };
    match describe(path) {
        Some(file) => format!("{file:?} {:?}", describe(Path::new(&log))),
        None => unique_id(),
    }
}

/// A DuckDB database whose connections live on threads of their own.
#[derive(Clone)]
pub struct Warehouse(Arc<Database>);

struct Database {
    workers: Workers,
    id: String,
    /// Writers hold it alone; readers share it. The text names the state of the data.
    version: RwLock<String>,
}

impl Warehouse {
    /// Opens or creates the database file. While it is open, no other process can write to it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let problem = |error: &dyn std::fmt::Display| {
            Error::engine(format!("cannot open {}: {error}", path.display()))
        };
        let state = file_state(path);
        let config = duckdb::Config::default()
            .with("autoinstall_known_extensions", "false")
            .map_err(|error| problem(&error))?;
        let first = Connection::open_with_flags(path, config).map_err(|error| problem(&error))?;
        let mut connections = Vec::new();
        for _ in 1..THREADS {
            connections.push(first.try_clone().map_err(|error| problem(&error))?);
        }
        connections.push(first);
        // a restart without writes finds the file as it was, and its results with it
        Ok(Self(Arc::new(Database {
            workers: Workers::start(connections)?,
            id: path.display().to_string(),
            version: RwLock::new(state),
        })))
    }

    /// Asks through `cache` from now on.
    pub fn cached(self, cache: Cache) -> CachedWarehouse {
        CachedWarehouse {
            warehouse: self,
            cache,
            flights: Arc::default(),
        }
    }

    /// Runs statements alone, makes older results unreachable first, and ends with a checkpoint. Blocks.
    pub fn execute_batch(&self, batch: &str) -> Result<(), Error> {
        let statements = sql::statements(batch)
            .ok_or_else(|| Error::input("cannot tell the statements of this batch apart"))?;
        if let Some(refused) = statements.iter().find(|statement| {
            SESSION.contains(&sql::first_word(statement).as_str()) || is_temporary(statement)
        }) {
            return Err(Error::input(format!(
                "{:?} would hold for one connection only",
                sql::sanitize(refused)
            )));
        }
        let mut version = self.0.version.write();
        *version = unique_id();
        let batch = batch.to_owned();
        self.on_thread(move |connection| {
            let done = connection.execute_batch(&batch);
            if !connection.is_autocommit() {
                let _ = connection.execute_batch("ROLLBACK");
                return Err(Error::engine(done.err().map_or_else(
                    || "the batch left a transaction open; rolled back".to_owned(),
                    |error| error.to_string(),
                )));
            }
            done.and_then(|()| connection.execute_batch("CHECKPOINT"))
                .map_err(|error| Error::engine(error.to_string()))
        })
    }

    /// Runs a query without the cache. Blocks.
    pub fn query(&self, sql: &str, params: &Params) -> Result<Vec<RecordBatch>, Error> {
        read_only(sql)?;
        let _shared = self.0.version.read();
        let (sql, params) = (sql.to_owned(), params.clone());
        self.on_thread(move |connection| run(connection, &sql, &params))
    }

    fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.0.workers.submit(Box::new(move |connection| {
            let _ = sender.send(work(connection));
        }))?;
        receiver
            .recv()
            .map_err(|_| Error::engine("the DuckDB thread ended"))?
    }
}

fn is_temporary(statement: &str) -> bool {
    sql::words(statement).is_none_or(|words| {
        words
            .iter()
            .take(4)
            .any(|word| word == "temp" || word == "temporary")
    })
}

fn read_only(statement: &str) -> Result<(), Error> {
    let one = sql::statements(statement).is_some_and(|all| all.len() == 1);
    let words = sql::words(statement).unwrap_or_default();
    let writes = words
        .iter()
        .any(|word| matches!(word.as_str(), "insert" | "update" | "delete" | "merge"));
    let first = sql::first_word(statement);
    if one && READS.contains(&first.as_str()) && !(first == "WITH" && writes) {
        return Ok(());
    }
    Err(Error::input(
        "query takes one SELECT, WITH, FROM or VALUES statement; writes go through execute_batch",
    ))
}

/// Why a result may not be kept.
fn bypass(statement: &str) -> Option<&'static str> {
    let Some(words) = sql::words(statement) else {
        return Some("unusual text");
    };
    let outside = |word: &String| {
        VOLATILE.contains(&word.as_str())
            || ["read_", "duckdb_", "pragma_", "parquet_"]
                .iter()
                .any(|start| word.starts_with(start))
    };
    if words.iter().any(outside) {
        return Some("nondeterministic");
    }
    let lower = statement.to_lowercase();
    [".parquet", ".csv", ".json", "://", ".tsv", ".db", ".xlsx"]
        .iter()
        .any(|mark| lower.contains(mark))
        .then_some("reads files")
}

/// Views and macros may hide what [`bypass`] looks for: databases that have such ones are not cached.
fn hides_volatile(connection: &Connection) -> bool {
    let definitions = "SELECT sql AS d FROM duckdb_views() WHERE NOT internal UNION ALL SELECT macro_definition FROM duckdb_functions() WHERE NOT internal AND macro_definition IS NOT NULL";
    let read = || -> duckdb::Result<bool> {
        let mut statement = connection.prepare(definitions)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if row
                .get::<_, Option<String>>(0)?
                .is_none_or(|text| bypass(&text).is_some())
            {
                return Ok(true);
            }
        }
        Ok(false)
    };
    read().unwrap_or(true)
}

type Answer = Result<QueryResult, Error>;
type Waiter = Box<dyn FnOnce(Answer) + Send>;
type Flights = Arc<Mutex<HashMap<(String, u64), Vec<Waiter>>>>;

/// A [`Warehouse`] that answers from a [`Cache`] where it may.
#[derive(Clone)]
pub struct CachedWarehouse {
    warehouse: Warehouse,
    cache: Cache,
    flights: Flights,
}

/// The answer to a query.
#[derive(Clone, Debug)]
pub struct QueryResult {
    batches: Vec<RecordBatch>,
    status: Status,
}

impl QueryResult {
    /// The batches; at least one, which carries the schema.
    pub fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }

    /// Where they came from.
    pub fn status(&self) -> Status {
        self.status
    }
}

/// A query to be awaited, or run with [`Query::blocking`].
#[must_use = "a query runs when awaited, or by `blocking()`"]
pub struct Query {
    target: CachedWarehouse,
    sql: String,
    params: Params,
    ttl: Option<u64>,
}

impl CachedWarehouse {
    /// Asks; equal questions at the same time run once.
    pub fn query(&self, sql: impl Into<String>, params: Params) -> Query {
        Query {
            target: self.clone(),
            sql: sql.into(),
            params,
            ttl: None,
        }
    }

    /// See [`Warehouse::execute_batch`].
    pub fn execute_batch(&self, batch: &str) -> Result<(), Error> {
        self.warehouse.execute_batch(batch)
    }

    /// The cache in front.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }
}

impl Query {
    /// How long the result may be reused; whole seconds.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl.as_secs());
        self
    }

    /// Runs on this thread's time.
    pub fn blocking(self) -> Result<QueryResult, Error> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.start(Box::new(move |answer| {
            let _ = sender.send(answer);
        }))?;
        receiver
            .recv()
            .map_err(|_| Error::engine("the DuckDB thread ended"))?
    }

    /// Joins the flight of this question, or starts it. The flight goes on when its callers leave.
    fn start(self, waiter: Waiter) -> Result<(), Error> {
        read_only(&self.sql)?;
        let normal = sql::normalize(&self.sql);
        let flight = (
            key(&self.target.warehouse.0.id, "flight", &normal, &self.params),
            self.target.cache.generation(),
        );
        let coalesces = bypass(&normal).is_none();
        let flights = self.target.flights.clone();
        if coalesces {
            let mut open = flights.lock();
            if let Some(waiters) = open.get_mut(&flight) {
                waiters.push(waiter);
                return Ok(());
            }
            open.insert(flight.clone(), vec![waiter]);
            drop(open);
            let (leaders, id) = (flights.clone(), flight.clone());
            let workers = self.target.warehouse.clone();
            return workers.0.workers.submit(Box::new(move |connection| {
                let answer = self.answer(connection, &normal);
                let waiting = leaders.lock().remove(&id).unwrap_or_default();
                waiting
                    .into_iter()
                    .for_each(|waiter| waiter(answer.clone()));
            }));
        }
        let workers = self.target.warehouse.clone();
        workers.0.workers.submit(Box::new(move |connection| {
            waiter(self.answer(connection, &normal))
        }))
    }

    fn answer(&self, connection: &Connection, normal: &str) -> Answer {
        let (start, clock) = (SystemTime::now(), Instant::now());
        let answer = self.look_up_or_run(connection, normal);
        let duration = clock.elapsed();
        let event = QueryEvent {
            sql: sql::sanitize(&self.sql),
            query_type: sql::first_word(&self.sql),
            start,
            duration,
            rows: answer.as_ref().map_or(0, |found| {
                found.batches.iter().map(RecordBatch::num_rows).sum()
            }),
            failed: answer.is_err(),
            status: answer.as_ref().map_or(Status::Miss, QueryResult::status),
        };
        if duration > SLOW_QUERY {
            tracing::warn!(target: "data_cache", sql = event.sql, duration_ms = duration.as_millis() as u64, "slow_query");
        }
        self.target.cache.emit(&event);
        answer
    }

    fn look_up_or_run(&self, connection: &Connection, normal: &str) -> Answer {
        // A writer waits on a worker while it holds the lock alone: never wait for it on a worker.
        let Some(version) = self.target.warehouse.0.version.try_read() else {
            return Ok(QueryResult {
                batches: run(connection, &self.sql, &self.params)?,
                status: Status::Bypass("a write is running"),
            });
        };
        let cache = &self.target.cache;
        let reason = bypass(normal).or_else(|| {
            hides_volatile(connection).then_some("a view or macro is nondeterministic")
        });
        if let Some(reason) = reason.filter(|_| !cache.permits(normal)) {
            return Ok(QueryResult {
                batches: run(connection, &self.sql, &self.params)?,
                status: Status::Bypass(reason),
            });
        }
        let day = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs()
            / 86_400;
        let context = format!("{}/{}", *version, if reason.is_some() { day } else { 0 });
        let key = key(&self.target.warehouse.0.id, &context, normal, &self.params);
        let generation = cache.generation();
        if let Some(hit) = cache.get_key(&key) {
            return Ok(QueryResult {
                status: Status::Hit(hit.tier()),
                batches: hit.into_batches(),
            });
        }
        let batches = run(connection, &self.sql, &self.params)?;
        cache.set_key(&key, normal, &batches, self.ttl, generation)?;
        Ok(QueryResult {
            batches,
            status: Status::Miss,
        })
    }
}

impl IntoFuture for Query {
    type Output = Result<QueryResult, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            self.start(Box::new(move |answer| {
                let _ = sender.send(answer);
            }))?;
            receiver
                .await
                .map_err(|_| Error::engine("the DuckDB thread ended"))?
        })
    }
}
