//! Black boxes from the users' view. The killed processes are this test program, run for one test.
#![cfg(unix)]
#![expect(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod child;
mod clocks;
mod endings;
mod files;
mod format;
mod full;
mod kill;
mod threads;

use std::path::{Path, PathBuf};

use ops_black_box::{BlackBox, Config, LastRun, Reading};

/// Separate folder for each test.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(),
        }
    }

    fn config(&self) -> Config {
        Config::new(self.file(), "shop").ring_bytes(64 * 1024)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("shop.box")
    }

    fn kept(&self, ending: &str) -> PathBuf {
        self.folder.path().join(format!("shop.box.{ending}"))
    }

    fn open(&self) -> BlackBox {
        ops_black_box::open(&self.config()).black_box.unwrap()
    }

    /// Opens the black box like the next start.
    fn next_start(&self) -> LastRun {
        let opened = ops_black_box::open(&self.config());
        opened.black_box.unwrap();
        opened.last_run.unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }
}

fn texts(reading: &Reading) -> Vec<&str> {
    let records = reading.records.iter();
    records.map(|record| record.text.as_str()).collect()
}

fn is_full() -> bool {
    std::env::var_os("OPS_TEST_FULL").is_some_and(|on| on == "1")
}

fn read(path: &Path) -> Result<Reading, ops_black_box::Error> {
    ops_black_box::read(path)
}
