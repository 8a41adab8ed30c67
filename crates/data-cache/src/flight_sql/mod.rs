//! A server that speaks Arrow Flight SQL as a [`QueryEngine`].

mod address;
mod bind;
mod client;
mod config;
mod fault;
mod login;
mod results;
mod statement;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use arrow::array::RecordBatch;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

use self::client::Client;
pub use self::config::FlightSqlConfig;
use self::config::StateFn;
use crate::cache::Cache;
use crate::cancel::Cancel;
use crate::engine::{QueryEngine, State};
use crate::error::Error;
use crate::params::Params;
use crate::query::CachedEngine;
use crate::sql::{self, Dialect, Lexer, Token};
use crate::stats::Bypass;

/// First words of statements that read.
const READS: &[&str] = &[
    "SELECT", "WITH", "VALUES", "TABLE", "FROM", "SHOW", "DESCRIBE", "DESC", "EXPLAIN",
];
/// Maximum number of concurrent calls of the caller's credential function, which may hang.
const MAX_CREDENTIAL_CALLS: usize = 4;
/// Words that make a statement a write if it begins with `WITH` or `EXPLAIN`, or holds several statements.
const WRITES: &[&str] = &["INSERT", "UPDATE", "DELETE", "MERGE"];

/// A client of one Flight SQL server. Clones share connection and login.
///
/// It connects when the first query runs, and reconnects if the connection was lost. The server's dialect is unknown,
/// so a result is cached only if its query requests that with [`Query::ttl`](crate::Query::ttl). Without
/// [`FlightSqlConfig::state`], only the TTL limits such a result, counted from the end of its run: it may be older than
/// the data by the TTL and the time of the run.
///
/// ```no_run
/// use std::time::Duration;
/// use data_cache::{Cache, FlightSql, FlightSqlConfig, params};
///
/// let config = FlightSqlConfig::new("flight-sql+tls://cluster.example.com:32010")
///     .bearer("reporting", || std::fs::read_to_string("/run/secrets/cluster-token").map_err(|error| error.to_string()));
/// let cluster = FlightSql::open(config)?.cached(Cache::open("cache")?);
/// let sql = "SELECT avg(distance) AS mean FROM flights WHERE origin = ?";
/// let query = cluster.query(sql, data_cache::Params::positional(["SFO"]));
/// let result = query.ttl(Duration::from_secs(300)).blocking()?;
/// # Ok::<(), data_cache::Error>(())
/// ```
#[derive(Clone)]
pub struct FlightSql(Arc<Shared>);

struct Shared {
    client: Arc<Client>,
    identity: String,
    dialect: Dialect,
    state: Option<StateFn>,
    /// `None` once it is dropped.
    runtime: Option<Runtime>,
}

impl FlightSql {
    /// Checks the configuration and prepares a connection, which the first query opens. Starts one thread.
    ///
    /// # Errors
    ///
    /// Fails if the address or the certificate authority is invalid, or if no thread can be started.
    pub fn open(config: FlightSqlConfig) -> Result<Self, Error> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(MAX_CREDENTIAL_CALLS)
            .thread_name("flight-sql")
            .enable_all()
            .build()
            .map_err(|error| Error::io(format!("cannot start a thread for Flight SQL: {error}")))?;
        let (dialect, state) = (config.dialect, config.state.clone());
        let prepared = {
            let _entered = runtime.enter();
            config
                .identity()
                .and_then(|identity| Ok((identity, Arc::new(Client::new(config)?))))
        };
        match prepared {
            Ok((identity, client)) => Ok(Self(Arc::new(Shared {
                client,
                identity,
                dialect,
                state,
                runtime: Some(runtime),
            }))),
            Err(error) => {
                // not dropped: this thread may belong to another runtime
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// Wraps this client with `cache`.
    pub fn cached(self, cache: Cache) -> CachedEngine<Self> {
        CachedEngine::new(self, cache)
    }

    /// Runs a query without the cache. Blocks.
    ///
    /// # Errors
    ///
    /// Fails with the server's error, and for statements that are not queries.
    pub fn query(&self, sql: &str, params: &Params) -> Result<Vec<RecordBatch>, Error> {
        self.check(sql)?;
        self.run(sql, params, &Cancel::default())
    }

    /// Returns the state from the caller's function; a panic counts as an unknown state.
    fn state_of(&self, sql: &str) -> Result<State, Bypass> {
        let Some(state) = &self.0.state else {
            return Ok(State {
                token: String::new(),
                tables: Vec::new(),
            });
        };
        match catch_unwind(AssertUnwindSafe(|| state(sql))) {
            Ok(state) => state.ok_or(Bypass::UnknownState),
            Err(_) => {
                tracing::error!(target: "data_cache", "state_function_panicked");
                Err(Bypass::UnknownState)
            }
        }
    }
}

impl QueryEngine for FlightSql {
    fn identity(&self) -> String {
        self.0.identity.clone()
    }

    fn dialect(&self) -> Dialect {
        self.0.dialect
    }

    /// Returns `false` with a state function, which may use the network.
    fn knows(&self, _sql: &str) -> bool {
        self.0.state.is_none()
    }

    fn state(&self, _sql: &str) -> Result<State, Bypass> {
        Err(Bypass::Unclassified)
    }

    fn state_if_asked(&self, sql: &str) -> Result<State, Bypass> {
        self.state_of(sql)
    }

    fn is_current(&self, sql: &str, state: &State) -> bool {
        self.state_of(sql).as_ref() == Ok(state)
    }

    fn check(&self, sql: &str) -> Result<(), Error> {
        let first = sql::first_word(sql);
        let may_write = matches!(first.as_str(), "WITH" | "EXPLAIN") || may_hold_several(sql);
        if READS.contains(&first.as_str()) && !(may_write && names_a_write(sql)) {
            return match sql::statements(sql) {
                Ok(all) if all.len() > 1 && is_sure(sql) => Err(Error::input(format!(
                    "expected one query, got {} statements",
                    all.len()
                ))),
                _ => Ok(()),
            };
        }
        Err(Error::input(format!(
            "a query must start with one of {} and must not contain any of {} after WITH, EXPLAIN or a semicolon; this statement starts with {first}",
            READS.join(", "),
            WRITES.join(", ")
        )))
    }

    fn run(&self, sql: &str, params: &Params, cancel: &Cancel) -> Result<Vec<RecordBatch>, Error> {
        let Some(runtime) = &self.0.runtime else {
            return Err(Error::engine("the Flight SQL client has been shut down"));
        };
        let stop = Arc::new(Notify::new());
        let (sender, receiver) = sync_channel(1);
        let run = statement::run(
            self.0.client.clone(),
            sql.to_owned(),
            params.clone(),
            stop.clone(),
        );
        let work = || {
            runtime.spawn(async move {
                let _ = sender.send(run.await);
            });
            // never called on a thread of this runtime; on a thread of another runtime it blocks, as every engine does
            receiver.recv()
        };
        match cancel.while_running(move || stop.notify_one(), work) {
            None => Err(Error::engine(fault::CANCELLED)),
            Some(Ok(answer)) => answer,
            Some(Err(_)) => Err(Error::engine(
                "the Flight SQL client panicked on this result",
            )),
        }
    }
}

/// Returns `true` if the server certainly reads the same tokens as
/// this lexer: a backslash or a backtick is special in some dialects.
fn is_sure(sql: &str) -> bool {
    !sql.contains(['\\', '`']) && Lexer::new(sql).all(|token| token.is_ok())
}

/// Returns `true` if there may be text after a semicolon.
fn may_hold_several(sql: &str) -> bool {
    match is_sure(sql) {
        true => sql::statements(sql).is_ok_and(|all| all.len() > 1),
        false => sql.trim_end().trim_end_matches(';').contains(';'),
    }
}

/// Returns `true` if the statement contains a word of a write; in a
/// text that the server may read differently, literals count too.
fn names_a_write(sql: &str) -> bool {
    let is_write = |word: &str| WRITES.iter().any(|one| word.eq_ignore_ascii_case(one));
    if !is_sure(sql) {
        return sql
            .split(|char: char| !char.is_alphanumeric() && char != '_')
            .any(is_write);
    }
    Lexer::new(sql).any(|token| matches!(token, Ok(Token::Word(word)) if is_write(word)))
}

impl fmt::Debug for FlightSql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlightSql")
            .field("identity", &self.0.identity)
            .finish_non_exhaustive()
    }
}

impl Drop for Shared {
    /// Does not wait: it may be dropped where blocking is not allowed.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
