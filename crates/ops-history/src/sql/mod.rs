//! SQL over the files of one or several directories, run by DuckDB: read-only, limited, and without access to other
//! files.

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
    /// Time after which the statement is stopped. A single function over a very long text or list is not interrupted.
    pub time: Duration,
    /// Maximum rows of the answer; further ones are omitted, and `is_truncated` is set.
    pub rows: usize,
    /// Maximum bytes of the rows as JSON; further rows are omitted, and `is_truncated` is set. Fails if the first row
    /// alone exceeds it.
    pub bytes: u64,
    /// Memory of the engine in bytes; a statement that needs more fails. The result of a single function is not counted.
    pub memory: u64,
    /// Threads of the engine; `None` for one per processor.
    pub threads: Option<usize>,
    /// Start of the hours whose files are read; `None` for no lower bound.
    pub since: Option<SystemTime>,
    /// End of the hours whose files are read; `None` for no upper bound.
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

/// Result of a statement.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Answer {
    /// Names of the columns in order; empty without rows.
    pub columns: Vec<String>,
    /// Rows, each with the JSON text of one value for each column.
    pub rows: Vec<Vec<String>>,
    /// Set if the row or byte limit cut off rows.
    pub is_truncated: bool,
    /// Number of files read.
    pub files: usize,
    /// Files that were ignored, each with the reason.
    pub skipped: Vec<String>,
    /// Duration in seconds.
    pub seconds: f64,
}

/// Maximum number of attempts; a statement is retried if files were merged or removed while it ran.
const MAX_ATTEMPTS: usize = 5;

/// Runs one SELECT over the tables `logs`, `spans`, `metrics`, `last_lines`, `requests`, `requests_by_hour` and
/// `requests_by_minute` of these directories, which may be written to meanwhile. Rows that are in several files, and
/// files that are in several directories, count once.
///
/// # Errors
///
/// Fails if a directory cannot be listed, if the statement is invalid, not a single SELECT or reads anything else, or
/// if a limit is exceeded.
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
            Err(error) if error.kind() == ErrorKind::TimedOut || tries == MAX_ATTEMPTS => {
                return Err(error);
            }
            Err(error) => {
                // the message for a missing file varies; a file with a valid footer may have damaged pages
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

/// Returns the tables that a statement may need: those whose names occur anywhere in it.
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

/// Prefixes of engine errors that are not caused by a file.
const STATEMENT_ERRORS: [&str; 6] = [
    "Binder Error",
    "Catalog Error",
    "Conversion Error",
    "Out of Memory Error",
    "Parser Error",
    "Permission Error",
];

/// Returns `true` if checking the files cannot change the outcome; checking may read all of them.
fn is_final(error: &Error) -> bool {
    let text = error.to_string();
    STATEMENT_ERRORS.iter().any(|kind| text.starts_with(kind))
}
