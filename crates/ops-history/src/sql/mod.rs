//! SQL over the files of one or several directories, by DuckDB: read-only, with limits, and with no way to other files.

mod named;
mod sandbox;
mod tables;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use named::{NAMED, Named, named};

use crate::error::{Error, ErrorKind, chain};
use crate::file::directory::{Found, distinct, list};
use crate::file::stored::Stored;
use sandbox::Sandbox;

/// Limits of a statement.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Time after which it is stopped.
    pub time: Duration,
    /// Rows of its answer; further ones are left out, and the answer says so.
    pub rows: usize,
    /// Memory of the engine in bytes; a statement that needs more fails.
    pub memory: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(30),
            rows: 1000,
            memory: 1 << 30,
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
    /// There are more rows than the limit.
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

/// Answers one SELECT over the tables `logs`, `spans`, `metrics` and `requests` of these directories, which may be written to
/// meanwhile. Rows that are in several files, or a file that is in several directories, count once.
///
/// # Errors
///
/// Fails if a directory cannot be listed, or the statement is not one SELECT, is wrong, reads anything else, or exceeds a limit.
pub fn query(dirs: &[impl AsRef<Path>], sql: &str, limits: &Limits) -> Result<Answer, Error> {
    let started = Instant::now();
    let mut damaged = BTreeSet::new();
    let mut tries = 0;
    loop {
        let files = Files::of(dirs, &damaged)?;
        let left = limits.time.saturating_sub(started.elapsed());
        let answered = Sandbox::open(&files.readable, limits)
            .and_then(|sandbox| sandbox.answer(sql, limits.rows, left, limits.time));
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
                // a file that went away meanwhile, or one with a good footer and bad pages?
                let gone = files.readable.iter().any(|one| !one.path.exists());
                let bad = files.damaged();
                if !gone && bad.is_empty() {
                    return Err(error);
                }
                damaged.extend(bad);
            }
        }
    }
}

/// State of the files of one directory.
#[derive(Clone, Debug, Default, serde::Serialize)]
#[non_exhaustive]
pub struct Inventory {
    /// Table, files, rows and bytes.
    pub tables: Vec<(&'static str, usize, u64, u64)>,
    /// Files that are left out, each with the reason.
    pub skipped: Vec<String>,
}

/// Counts what the directories hold; with `verify` the checksum of each file is compared, which reads all of it.
///
/// # Errors
///
/// Fails if a directory cannot be listed.
pub fn inventory(dirs: &[impl AsRef<Path>], verify: bool) -> Result<Inventory, Error> {
    let mut files = Files::of(dirs, &BTreeSet::new())?;
    if verify {
        let bad = files.damaged().into_iter().collect();
        files = Files::of(dirs, &bad)?;
    }
    let mut found = Inventory {
        skipped: files.skipped,
        ..Inventory::default()
    };
    for table in crate::Table::ALL {
        let mut row = (table.as_str(), 0, 0, 0);
        for one in files.readable.iter().filter(|one| one.name.table == *table) {
            // it may have been merged since
            let rows = Stored::open(one).map_or(0, |stored| stored.rows);
            row = (row.0, row.1 + 1, row.2 + rows, row.3 + one.bytes);
        }
        found.tables.push(row);
    }
    Ok(found)
}

/// Files that a statement may read.
struct Files {
    readable: Vec<Found>,
    skipped: Vec<String>,
}

impl Files {
    fn of(dirs: &[impl AsRef<Path>], damaged: &BTreeSet<PathBuf>) -> Result<Self, Error> {
        let mut readable = Vec::new();
        let mut skipped = Vec::new();
        for dir in dirs {
            let dir = dir.as_ref();
            let canonical = dir.canonicalize();
            let dir = canonical.map_err(|error| Error::io(dir, "open the directory", error))?;
            for one in list(&dir)? {
                if damaged.contains(&one.path) {
                    skipped.push(format!("{}: its checksum is wrong", one.path.display()));
                    continue;
                }
                match Stored::open(&one) {
                    Ok(_) => readable.push(one),
                    // merged meanwhile: its rows are in another one
                    Err(_) if !one.path.exists() => return Self::of_again(dirs, damaged),
                    Err(error) => skipped.push(chain(&error)),
                }
            }
        }
        let (readable, _) = distinct(readable);
        Ok(Self { readable, skipped })
    }

    /// Lists once more; what goes away again is found by the statement.
    fn of_again(dirs: &[impl AsRef<Path>], damaged: &BTreeSet<PathBuf>) -> Result<Self, Error> {
        let mut files = Self {
            readable: Vec::new(),
            skipped: Vec::new(),
        };
        for dir in dirs {
            let dir = dir.as_ref();
            let canonical = dir.canonicalize();
            let dir = canonical.map_err(|error| Error::io(dir, "open the directory", error))?;
            let found = list(&dir)?.into_iter();
            let found = found.filter(|one| !damaged.contains(&one.path));
            files
                .readable
                .extend(found.filter(|one| Stored::open(one).is_ok()));
        }
        files.readable = distinct(files.readable).0;
        Ok(files)
    }

    /// Reads all files, and returns those whose checksum is wrong.
    fn damaged(&self) -> Vec<PathBuf> {
        let bad = |one: &&Found| {
            let verified = Stored::open(one).and_then(|stored| stored.verify(&one.path));
            verified.is_err_and(|error| error.kind() == ErrorKind::Unreadable)
        };
        let bad = self.readable.iter().filter(bad);
        bad.map(|one| one.path.clone()).collect()
    }
}
