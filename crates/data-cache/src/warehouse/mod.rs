//! DuckDB as a [`QueryEngine`]: connections on their own threads, and a record of writes.

mod catalog;
mod connection;
mod content;
mod definitions;
mod functions;
mod interrupt;
mod opened;
mod profile;
mod settings;
mod sidecar;
mod tree;
mod versions;
mod workers;
mod writes;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arrow::array::RecordBatch;
use duckdb::{AccessMode, Connection};
use parking_lot::Mutex;

use self::catalog::{Catalog, Judgement};
use self::content::Content;
use self::definitions::Leftover;
use self::interrupt::Interrupt;
use self::opened::Opened;
use self::settings::Settings;
use self::sidecar::FileId;
use self::versions::Versions;
use self::workers::Workers;
use self::writes::{Effects, Scope};
use crate::cache::Cache;
use crate::cancel::Cancel;
use crate::disk::unique_id;
use crate::engine::{QueryEngine, State};
use crate::error::Error;
use crate::params::Params;
use crate::profile::Profile;
use crate::query::CachedEngine;
use crate::sql::Dialect;
use crate::stats::Bypass;

/// Number of connections, and thus of concurrent statements.
const THREADS: usize = 4;

/// A DuckDB database whose connections have their own threads. Clones share it; dropping the last one closes it.
///
/// While it is open for writing, no other process can open the file, and writes of this process are recorded: which
/// tables, and when. The file `<file>.version` beside it lets a restart without writes find its results again.
#[derive(Clone)]
pub struct Warehouse(Arc<Database>);

/// A [`Warehouse`] that is queried through a [`Cache`] where possible.
pub type CachedWarehouse = CachedEngine<Warehouse>;

struct Database {
    workers: Workers,
    id: String,
    path: Option<PathBuf>,
    versions: Versions,
    settings: Arc<Settings>,
    catalog: Catalog,
    paces: Arc<profile::Paces>,
    /// Allows one write at a time.
    writing: Mutex<()>,
    is_read_only: bool,
    /// Content of a file that is not written to.
    content: OnceLock<Content>,
    /// The last field: dropped after the connections above are closed.
    opened: Option<Opened>,
}

impl Warehouse {
    /// Opens or creates the database file. While it is open, no other process can write to it. If this process has the
    /// file open, waits up to 5 s until it is closed.
    ///
    /// # Errors
    ///
    /// Fails with the engine's error if the file is not a database or another process has it open, and if this process
    /// still has it open: clone that handle instead.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_file(path.as_ref(), false)
    }

    /// Opens an existing file for reading only. A file that replaces it is not noticed: open it anew.
    ///
    /// # Errors
    ///
    /// Fails with the engine's error.
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_file(path.as_ref(), true)
    }

    /// Opens an existing file that is not written to, and digests all of it, at about 1 GB per second:
    /// machines with the same bytes share results (feature `shared`). Once the file changes or is replaced,
    /// results are no longer shared: open it anew.
    ///
    /// # Errors
    ///
    /// Fails with the engine's error, and if the file cannot be read or changes meanwhile.
    pub fn open_snapshot(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        content::settle(path);
        let before = sidecar::fingerprint(path);
        let opened = Self::open_read_only(path)?;
        let problem = |reason: &dyn std::fmt::Display| {
            Error::io(format!(
                "cannot compute a digest of {}: {reason}",
                path.display()
            ))
        };
        let (Some(before), Some(path)) = (before, &opened.0.path) else {
            return Err(problem(&"its modification time cannot be read"));
        };
        let content = Content::of(path, before).map_err(|error| problem(&error))?;
        let content = content.ok_or_else(|| problem(&"it changed meanwhile"))?;
        // no other thread has the handle yet
        let _ = opened.0.content.set(content);
        Ok(opened)
    }

    /// Opens an empty database in memory, whose results are not reused after it is closed.
    ///
    /// # Errors
    ///
    /// Fails with the engine's error.
    pub fn in_memory() -> Result<Self, Error> {
        let problem = |error: duckdb::Error| Error::engine(error.to_string());
        let config = engine_config(false).map_err(problem)?;
        let first = Connection::open_in_memory_with_flags(config).map_err(problem)?;
        let id = format!(":memory: {}", unique_id());
        Self::start(first, id, None, Versions::fresh(), false)
    }

    fn open_file(path: &Path, is_read_only: bool) -> Result<Self, Error> {
        let problem = |error: &dyn std::fmt::Display| {
            Error::engine(format!("cannot open {}: {error}", path.display()))
        };
        let mut opened = Opened::take(
            &absolute(path).map_err(|error| problem(&error))?,
            is_read_only,
        )?;
        // the file id first: a file that replaces it from here on is recognized as a different one
        let file = sidecar::file_id(path);
        // taken before the engine touches the file: a write in between causes a miss, never a wrong result
        let before = sidecar::fingerprint(path);
        let config = engine_config(is_read_only).map_err(|error| problem(&error))?;
        let first = Connection::open_with_flags(path, config).map_err(|error| problem(&error))?;
        let path = path.canonicalize().map_err(|error| problem(&error))?;
        // the engine may have created it
        opened.file =
            sidecar::file_id(&path).filter(|now| file.is_none_or(|before| before == *now));
        let versions = if is_read_only {
            sidecar::versions_of_foreign(&path, before)
        } else {
            sidecar::versions_of_own(&path, before.as_deref(), opened.file)
        };
        let id = path.display().to_string();
        let file = Some((path, opened));
        Self::start(first, id, file, versions, is_read_only)
    }

    fn start(
        first: Connection,
        id: String,
        file: Option<(PathBuf, Opened)>,
        versions: Versions,
        is_read_only: bool,
    ) -> Result<Self, Error> {
        let problem = |error: duckdb::Error| Error::engine(error.to_string());
        let catalog = Catalog::of(&first).map_err(problem)?;
        let settings = Arc::new(Settings::default());
        settings.read(&first).map_err(problem)?;
        let mut connections = Vec::new();
        for _ in 1..THREADS {
            connections.push(first.try_clone().map_err(problem)?);
        }
        connections.push(first);
        let (path, opened) = file.unzip();
        Ok(Self(Arc::new(Database {
            workers: Workers::start(connections)?,
            id,
            path,
            opened,
            versions,
            settings,
            catalog,
            paces: Arc::default(),
            writing: Mutex::new(()),
            is_read_only,
            content: OnceLock::new(),
        })))
    }

    /// Wraps this warehouse with `cache`.
    pub fn cached(self, cache: Cache) -> CachedWarehouse {
        CachedEngine::new(self, cache)
    }

    /// Runs a query without the cache, in a read-only transaction, which rejects `nextval` too. Blocks.
    ///
    /// # Errors
    ///
    /// Fails with the engine's error, and for statements that are not queries.
    pub fn query(&self, sql: &str, params: &Params) -> Result<Vec<RecordBatch>, Error> {
        self.check(sql)?;
        self.run(sql, params, &Cancel::default())
    }

    /// Runs statements that write. Older results of the tables that they may change become unreachable before the first
    /// one runs. Blocks; one batch runs at a time.
    ///
    /// Transactions are allowed if they end within the batch.
    ///
    /// # Errors
    ///
    /// Fails with the engine's error, and for statements that affect one connection only (`SET`,
    /// `USE`, `ATTACH`, temporary tables), text that is not SQL, a read-only database, and a
    /// transaction that is left open, which is rolled back.
    pub fn execute_batch(&self, batch: &str) -> Result<(), Error> {
        let Effects { scope, defines } = writes::effects_of(batch)?;
        if self.0.is_read_only {
            return Err(Error::input("the database is open read-only"));
        }
        let _one_at_a_time = self.0.writing.lock();
        let scope = match scope {
            Scope::Tables(names) if self.0.catalog.are_tables(&names) => Scope::Tables(names),
            // a target that is not a table in the catalog may be anything, such as a view
            _ => Scope::Everything,
        };
        let database = self.0.clone();
        let batch = batch.to_owned();
        let writing = self.0.versions.begin(scope);
        let done = self.0.workers.on_connection(move |connection| {
            let mut done = connection::execute(connection, &batch);
            if defines {
                let leftover = database.catalog.reload(connection);
                if leftover != Leftover::None {
                    let replaced = database.replace(connection);
                    if leftover == Leftover::UserDefined {
                        done = done.and(Err(writes::connection_only(&batch)));
                    }
                    done = done.and(replaced);
                    database.catalog.reload(connection);
                }
            }
            if let Some(path) = &database.path {
                sidecar::persist(path, database.file(), &database.versions);
            }
            done
        });
        drop(writing);
        done?
    }

    /// Changes a setting of every connection, such as `TimeZone` or
    /// `search_path`. Results under different settings are separate. Blocks.
    ///
    /// # Errors
    ///
    /// Fails with the engine's error, and for names that are not a single word. Nothing is changed then.
    pub fn set(&self, name: &str, value: &str) -> Result<(), Error> {
        let statement = settings::statement(name, value)?;
        let _one_at_a_time = self.0.writing.lock();
        let _nothing_is_kept_meanwhile = self.0.versions.hold();
        self.0.settings.count_change();
        let failed = |error: duckdb::Error| Error::engine(error.to_string());
        let mut first = None;
        self.0.workers.on_every_connection(|connection| {
            let done = connection.execute_batch(&statement).map_err(failed);
            let values = settings::values(connection).map_err(failed)?;
            match &first {
                None => {
                    done?;
                    self.0.settings.add(name, statement.clone());
                    self.0.settings.read(connection).map_err(failed)?;
                    first = Some(values);
                    Ok(())
                }
                // the first connection may have set it for all of them, and the engine may reject setting it again
                Some(first) if *first == values => Ok(()),
                Some(_) => done.and(Err(Error::engine("this connection has a different value"))),
            }
        })
    }
}

impl Database {
    /// Returns the id of the file that was opened, whatever is at its path now; `None` if unknown.
    fn file(&self) -> Option<FileId> {
        self.opened.as_ref().and_then(|opened| opened.file)
    }

    /// Replaces a connection by a new one, to drop its temporary definitions.
    fn replace(&self, connection: &mut Connection) -> Result<(), Error> {
        let fresh = connection.try_clone();
        let replaced = fresh.and_then(|fresh| {
            self.settings.apply(&fresh)?;
            profile::reset();
            *connection = fresh;
            Ok(())
        });
        replaced.map_err(|error| Error::engine(error.to_string()))
    }
}

/// Returns the path without links; the file itself need not exist yet.
fn absolute(path: &Path) -> std::io::Result<PathBuf> {
    if path.exists() {
        return path.canonicalize();
    }
    let absolute = std::path::absolute(path)?;
    match (absolute.parent(), absolute.file_name()) {
        (Some(parent), Some(name)) if parent.exists() => Ok(parent.canonicalize()?.join(name)),
        _ => Ok(absolute),
    }
}

fn engine_config(is_read_only: bool) -> duckdb::Result<duckdb::Config> {
    let mode = if is_read_only {
        AccessMode::ReadOnly
    } else {
        AccessMode::ReadWrite
    };
    duckdb::Config::default()
        .access_mode(mode)?
        .with("autoinstall_known_extensions", "false")
}

impl CachedWarehouse {
    /// Runs statements that write: see [`Warehouse::execute_batch`].
    ///
    /// # Errors
    ///
    /// Fails like [`Warehouse::execute_batch`].
    pub fn execute_batch(&self, batch: &str) -> Result<(), Error> {
        self.engine().execute_batch(batch)
    }
}

impl QueryEngine for Warehouse {
    fn identity(&self) -> String {
        self.0.id.clone()
    }

    fn system(&self) -> &'static str {
        "duckdb"
    }

    fn dialect(&self) -> Dialect {
        Dialect::DuckDb
    }

    fn knows(&self, sql: &str) -> bool {
        sql.is_empty() || self.0.catalog.knows(sql)
    }

    fn state(&self, sql: &str) -> Result<State, Bypass> {
        if sql.is_empty() {
            return self.state_of(None);
        }
        match self.0.catalog.judge(sql) {
            Judgement::Tables(tables) => self.state_of(Some(&tables)),
            Judgement::Refused { reason, .. } => Err(reason),
        }
    }

    fn state_if_permitted(
        &self,
        sql: &str,
        is_permitted: &dyn Fn(&str) -> bool,
    ) -> Result<State, Bypass> {
        let tables = match self.0.catalog.judge(sql) {
            Judgement::Tables(tables) => tables,
            Judgement::Refused { names, tables, .. }
                if !names.is_empty() && names.iter().all(|name| is_permitted(name)) =>
            {
                tables
            }
            Judgement::Refused { reason, .. } => return Err(reason),
        };
        // an invalidation finds the result by these tables
        Ok(State {
            tables: tables.to_vec(),
            ..self.state_of(None)?
        })
    }

    fn date_seconds(&self) -> u64 {
        match self.0.settings.is_utc() {
            true => 86_400,
            false => 900,
        }
    }

    fn content(&self) -> Option<String> {
        let id = self.0.content.get()?.id()?;
        // the settings include the engine's version
        Some(format!("{id}\n{}", self.0.settings.fingerprint()))
    }

    fn is_current(&self, sql: &str, state: &State) -> bool {
        // a change of a view or macro counts as a write to everything, so the tables are still the same
        let tables = (!sql.is_empty()).then_some(state.tables.as_slice());
        self.state_of(tables).as_ref() == Ok(state)
    }

    fn changes(&self) -> u64 {
        self.0.settings.changes()
    }

    fn check(&self, sql: &str) -> Result<(), Error> {
        writes::refuse_writes(sql)
    }

    fn run(&self, sql: &str, params: &Params, cancel: &Cancel) -> Result<Vec<RecordBatch>, Error> {
        let (batches, _) = self.run_profiled(sql, params, cancel, Duration::MAX)?;
        Ok(batches)
    }

    fn run_profiled(
        &self,
        sql: &str,
        params: &Params,
        cancel: &Cancel,
        slow: Duration,
    ) -> Result<(Vec<RecordBatch>, Option<Profile>), Error> {
        let (sql, params, cancel) = (sql.to_owned(), params.clone(), cancel.clone());
        // not the database: it must be dropped by the last of its handles, not on one of its own threads
        let paces = self.0.paces.clone();
        self.0.workers.on_connection(move |connection| {
            let interrupt = Interrupt::of(connection);
            let stopped = interrupt.clone();
            cancel
                .while_running(
                    move || stopped.stop(),
                    || connection::run(connection, &sql, &params, &paces, slow, &interrupt),
                )
                .unwrap_or_else(|| Err(Error::engine("cancelled, because no caller is waiting")))
        })?
    }
}

impl Warehouse {
    /// Returns the state of these tables, or of all.
    fn state_of(&self, tables: Option<&[String]>) -> Result<State, Bypass> {
        let token = self.0.versions.token(tables);
        let token = token.ok_or(Bypass::WriteRunning)?;
        Ok(State {
            token: format!("{token}\n{}", self.0.settings.fingerprint()),
            tables: tables.map(<[String]>::to_vec).unwrap_or_default(),
        })
    }
}

impl std::fmt::Debug for Warehouse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Warehouse")
            .field("id", &self.0.id)
            .finish_non_exhaustive()
    }
}

impl Drop for Database {
    /// Checkpoints, so that closing the file does not change it any more, and persists its state.
    fn drop(&mut self) {
        let Some(path) = self.path.clone().filter(|_| self.versions.were_written()) else {
            return;
        };
        let _ = self
            .workers
            .on_connection(|connection| connection.execute_batch("CHECKPOINT"));
        sidecar::persist(&path, self.file(), &self.versions);
    }
}
