//! Tests of the public API. Processes that are killed are this test program itself, run for one test.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "tests")]

mod child;
mod day;
mod files;
mod kill;
mod last;
mod live;
mod merge;
mod minutes;
mod s3;
mod sandbox;
mod space;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use ops_history::sql::{Answer, Limits, query};
use ops_history::{Config, History, Stats};
use serde_json::Value;

const LONG: Duration = Duration::from_secs(60);
/// 2026-11-20T10:00:00Z.
const START: u64 = 1_795_168_800;

/// A separate directory for each test.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(),
        }
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("history")
    }

    fn config(&self) -> Config {
        Config::new(self.dir(), "shop").every(LONG)
    }

    fn open(&self) -> History {
        History::open(self.config()).unwrap()
    }

    fn names(&self, table: &str) -> Vec<String> {
        names(&self.dir().join(table))
    }

    fn first_file(&self, table: &str) -> PathBuf {
        self.dir().join(table).join(&self.names(table)[0])
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(START + seconds)
}

/// Offers a line with a number.
fn number(history: &History, seconds: u64, number: u64) {
    let json = format!(r#"{{"level":"info","event":"counted","n":{number}}}"#);
    history.line(at(seconds), json.as_bytes());
}

fn ask(dirs: &[impl AsRef<Path>], sql: &str) -> Answer {
    query(dirs, sql, &Limits::default()).unwrap()
}

fn rows(answer: &Answer) -> Vec<Vec<Value>> {
    let row = |row: &Vec<String>| {
        let values = row.iter().map(|json| serde_json::from_str(json).unwrap());
        values.collect()
    };
    answer.rows.iter().map(row).collect()
}

fn value(dirs: &[impl AsRef<Path>], sql: &str) -> Value {
    rows(&ask(dirs, sql))[0][0].clone()
}

/// Returns the numbers of all lines, in order.
fn numbers(dirs: &[impl AsRef<Path>]) -> Vec<u64> {
    let mut limits = Limits::default();
    limits.rows = 1_000_000;
    let sql =
        "SELECT (attributes ->> '$.n')::BIGINT AS n FROM logs WHERE body = 'counted' ORDER BY n";
    let answer = query(dirs, sql, &limits).unwrap();
    let numbers = answer.rows.iter().map(|row| row[0].parse().unwrap());
    numbers.collect()
}

/// Asserts that every record is written, dropped or waiting.
fn assert_adds_up(stats: &Stats) {
    for counts in [stats.lines, stats.spans, stats.samples] {
        assert_eq!(
            counts.offered,
            counts.written + counts.dropped() + counts.waiting(),
            "{counts:?}"
        );
    }
}

fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let started = std::time::Instant::now();
    while !is_so() {
        assert!(started.elapsed() < LONG, "{what}: not within a minute");
        std::thread::yield_now();
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// Clocks set by a test, in seconds: the wall clock since [`START`], and the monotonic clock.
#[derive(Clone, Default)]
struct Clocks(Arc<(AtomicU64, AtomicU64)>);

impl Clocks {
    fn set(&self, wall: u64, monotonic: u64) {
        self.0.0.store(wall, Relaxed);
        self.0.1.store(monotonic, Relaxed);
    }

    fn configure(&self, config: Config) -> Config {
        let clocks = self.clone();
        config.clock(move || {
            let (wall, monotonic) = &*clocks.0;
            (
                at(wall.load(Relaxed)),
                Duration::from_secs(monotonic.load(Relaxed)),
            )
        })
    }
}

fn is_full() -> bool {
    std::env::var_os("OPS_TEST_FULL").is_some_and(|on| on == "1")
}
