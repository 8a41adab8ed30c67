//! SQL over the files of one or several directories, by DuckDB: read-only, with limits, and with no way to other files.

mod counted;
mod last;
mod named;
mod sandbox;
mod tables;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

pub use named::{NAMED, Named, named};

use crate::Table;
use crate::archive::{Files, overlaps};
use crate::error::{Error, ErrorKind};
use crate::file::directory::Found;
use sandbox::Sandbox;

/// Limits of a statement.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Time after which it is stopped.
    pub time: Duration,
    /// Rows of its answer; further ones are left out, and the answer says so.
    pub rows: usize,
    /// Bytes of its rows as JSON; further ones are left out, and the answer says so. A first row of more is an error.
    pub bytes: u64,
    /// Memory of the engine in bytes; a statement that needs more fails.
    pub memory: u64,
    /// Threads of the engine; `None` for one per processor.
    pub threads: Option<usize>,
    /// Files of the hours from this time on are asked; of all if `None`.
    pub since: Option<SystemTime>,
    /// Files of the hours up to this time are asked; of all if `None`.
    pub until: Option<SystemTime>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(30),
            rows: 1000,
            bytes: 256 << 20,
            memory: 1 << 30,
            threads: None,
            since: None,
            until: None,
        }
    }
}

/// Answer to a statement.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Answer {
    /// Names of the columns, in their order; empty without rows.
    pub columns: Vec<String>,
    /// Rows, each with the JSON text of one value for each column.
    pub rows: Vec<Vec<String>>,
    /// There are more rows than the limit, or more bytes.
    pub is_truncated: bool,
    /// Number of files that were asked.
    pub files: usize,
    /// Files that were left out, each with the reason.
    pub skipped: Vec<String>,
    /// Time that it took, in seconds.
    pub seconds: f64,
}

/// Times that a statement is tried again because files were merged or removed while it ran.
const TRIES: usize = 5;

/// Answers one SELECT over the tables `logs`, `spans`, `metrics`, `last_lines`, `requests`, `requests_by_hour` and
/// `requests_by_minute` of these directories, which may be written to meanwhile. Rows that are in several files, or a file that is in several directories, count once.
///
/// # Errors
///
/// Fails if a directory cannot be listed, or the statement is not one SELECT, is wrong, reads anything else, or exceeds a limit.
pub fn query(dirs: &[impl AsRef<Path>], sql: &str, limits: &Limits) -> Result<Answer, Error> {
    let started = Instant::now();
    let mut damaged = BTreeSet::new();
    let mut tries = 0;
    loop {
        let mut files = Files::of(dirs, &damaged)?;
        let of_hours = |one: &Found| overlaps(&one.name, limits.since, limits.until);
        files.readable.retain(of_hours);
        let answered = match Sandbox::open(&files.readable, sql, limits) {
            Ok(sandbox) => {
                let sql = sandbox.checked(sql)?;
                let left = limits.time.saturating_sub(started.elapsed());
                sandbox.answer(&sql, left, limits)
            }
            Err(error) => Err(error),
        };
        tries += 1;
        match answered {
            Ok(mut answer) => {
                answer.files = files.readable.len();
                answer.skipped = files.skipped;
                answer.seconds = started.elapsed().as_secs_f64();
                return Ok(answer);
            }
            Err(error) if error.kind() == ErrorKind::TimedOut || tries == TRIES => {
                return Err(error);
            }
            Err(error) => {
                // a file that went away meanwhile is missed in words of all kinds; a good footer may have bad pages
                let gone = files.readable.iter().any(|one| !one.path.exists());
                let bad = match gone || is_final(&error) {
                    true => Vec::new(),
                    false => files.damaged(),
                };
                if !gone && bad.is_empty() {
                    return Err(error);
                }
                damaged.extend(bad);
            }
        }
    }
}

/// Returns the tables of files that a statement may need: those that it names, in whatever place.
pub fn tables_of(sql: &str) -> Vec<Table> {
    let sql = sql.to_ascii_lowercase();
    let names = |table: &Table| match table {
        Table::Logs => ["logs", "requests", "last_lines"].as_slice(),
        Table::Spans => &["spans"],
        Table::Metrics => &["metrics"],
    };
    let needed = |table: &&Table| names(table).iter().any(|name| sql.contains(name));
    Table::ALL.iter().filter(needed).copied().collect()
}

/// Beginnings of errors that no file is to blame for.
const OF_STATEMENT: [&str; 6] = [
    "Binder Error",
    "Catalog Error",
    "Conversion Error",
    "Out of Memory Error",
    "Parser Error",
    "Permission Error",
];

/// Reports whether looking at the files again changes nothing: that may mean to read all of them.
fn is_final(error: &Error) -> bool {
    let text = error.to_string();
    OF_STATEMENT.iter().any(|kind| text.starts_with(kind))
}
