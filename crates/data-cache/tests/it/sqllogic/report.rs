//! Counts of a run.

use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) files: usize,
    /// Files that were not run, by reason.
    pub(super) skipped: BTreeMap<String, Vec<String>>,
    /// Files that were run up to a certain line, by reason.
    pub(super) cut: BTreeMap<String, Vec<String>>,
    pub(super) statements: usize,
    pub(super) queries: usize,
    /// Queries whose result depends on more than the data.
    pub(super) unstable: usize,
    /// Queries that a cache must not store.
    pub(super) bypassed: usize,
    pub(super) from_memory: usize,
    pub(super) from_files: usize,
    pub(super) from_files_reopened: usize,
    /// Number of results that match the file.
    pub(super) as_expected: usize,
    pub(super) otherwise: Vec<String>,
    /// Stored results of queries of which no two runs agree: unordered rows
    /// may be stored, results of random functions and the clock must not be.
    pub(super) kept_unstable: Vec<String>,
    /// Results of a cache that differ from DuckDB alone.
    pub(super) differ: Vec<String>,
}

impl Report {
    pub(super) fn add(&mut self, other: Self) {
        self.files += other.files;
        for (all, more) in [
            (&mut self.skipped, other.skipped),
            (&mut self.cut, other.cut),
        ] {
            for (reason, files) in more {
                all.entry(reason).or_default().extend(files);
            }
        }
        self.statements += other.statements;
        self.queries += other.queries;
        self.unstable += other.unstable;
        self.bypassed += other.bypassed;
        self.from_memory += other.from_memory;
        self.from_files += other.from_files;
        self.from_files_reopened += other.from_files_reopened;
        self.as_expected += other.as_expected;
        self.otherwise.extend(other.otherwise);
        self.kept_unstable.extend(other.kept_unstable);
        self.differ.extend(other.differ);
    }

    pub(super) fn print(&self) {
        let count =
            |files: &BTreeMap<String, Vec<String>>| files.values().map(Vec::len).sum::<usize>();
        for (heading, files) in [("skipped", &self.skipped), ("cut", &self.cut)] {
            for (reason, files) in files {
                println!(
                    "{heading}: {reason}: {} files, such as {}",
                    files.len(),
                    files[0]
                );
            }
        }
        for text in &self.otherwise {
            println!("otherwise than its file says: {text}");
        }
        for text in &self.kept_unstable {
            println!("kept, though no two runs agree: {text}");
        }
        for text in &self.differ {
            println!("DIFFERS: {text}");
        }
        println!(
            "{} files, {} of them skipped, {} cut; {} statements; {} queries, {} differ; {} from memory, {} from files, {} from files \
             after reopening; {} bypass, {} unstable; {} as their file says, {} otherwise",
            self.files,
            count(&self.skipped),
            count(&self.cut),
            self.statements,
            self.queries,
            self.differ.len(),
            self.from_memory,
            self.from_files,
            self.from_files_reopened,
            self.bypassed,
            self.unstable,
            self.as_expected,
            self.otherwise.len()
        );
    }
}
