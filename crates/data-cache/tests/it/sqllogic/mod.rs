//! Test files in the dialect of DuckDB's own, run in five ways: DuckDB alone, a miss, memory, files, after reopening.

mod expected;
mod report;
mod run;
mod script;
mod ways;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use self::report::Report;
use crate::batches::is_full;

/// Number of files that run concurrently.
const THREADS: usize = 2;
/// Maximum number of times that a database is reopened before a write in one file, in addition to its end.
const REOPENED: usize = 3;

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let is_test = path
                .extension()
                .is_some_and(|end| end == "test" || end == "test_slow");
            match path.is_dir() {
                true => folders.push(path),
                false if is_test => found.push(path),
                false => {}
            }
        }
    }
    found.sort();
    found
}

/// Runs the files of a folder, or every `one_of`-th of them.
fn run_all(folder: &Path, one_of: usize, most_reopened: usize) -> Report {
    let files: Vec<_> = files_below(folder).into_iter().step_by(one_of).collect();
    // DuckDB's own files refer to their data from the folder above `test`
    let root = folder.ancestors().find(|above| above.join("data").is_dir());
    let root = root.unwrap_or(folder);
    let (next, all) = (AtomicUsize::new(0), Mutex::new(Report::default()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let name = file.strip_prefix(folder).unwrap().display().to_string();
                    let text = String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned();
                    let dir = tempfile::tempdir().unwrap();
                    let run = || run::run(&name, &text, root, dir.path(), most_reopened);
                    let report = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
                    all.lock().add(report.unwrap_or_else(|_| Report {
                        files: 1,
                        differ: vec![format!("{name}: a panic")],
                        ..Report::default()
                    }));
                }
            });
        }
    });
    all.into_inner()
}

#[test]
fn every_way_gives_the_answer_of_duckdb_alone() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sqllogic");
    let report = run_all(&own, if is_full() { 1 } else { 5 }, REOPENED);
    report.print();
    let skipped: Vec<_> = report.skipped.into_values().flatten().collect();
    let meant = [
        "require_missing.test",
        "require_env.test",
        "unknown_directive.test:8",
    ];
    assert!(
        skipped.iter().all(|name| meant.contains(&name.as_str())),
        "{skipped:?}"
    );
    assert!(report.cut.is_empty(), "{:#?}", report.cut);
    assert!(report.differ.is_empty(), "{:#?}", report.differ);
    assert!(report.otherwise.is_empty(), "{:#?}", report.otherwise);
    assert!(
        report.kept_unstable.is_empty(),
        "{:#?}",
        report.kept_unstable
    );
    let from_cache = [
        report.from_memory,
        report.from_files,
        report.from_files_reopened,
    ];
    assert!(
        from_cache.iter().all(|hits| hits * 3 > report.queries),
        "{from_cache:?}"
    );
}

/// Runs the files of a folder given by the user, such as DuckDB's `test/sql`.
#[test]
fn files_of_another_folder_have_one_answer_in_every_way() {
    let Some(folder) = std::env::var_os("DUCKDB_TESTS") else {
        println!("DUCKDB_TESTS names no folder");
        return;
    };
    let report = run_all(&Path::new(&folder).canonicalize().unwrap(), 1, REOPENED);
    report.print();
    assert!(report.queries > 0, "no query was asked");
    assert!(report.differ.is_empty(), "{:#?}", report.differ);
}
