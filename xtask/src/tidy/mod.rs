//! `cargo xtask tidy`: checks that the compiler does not do. Each check is a function in its own file that returns
//! findings.

mod alerts;
mod circles;
mod crate_files;
mod dashboards;
mod features;
mod language;
mod law;
mod readme;
mod runbooks;
#[cfg(test)]
pub(crate) mod samples;
mod signatures;
mod sources;
mod versions;
mod words;

use crate::metadata::Metadata;
use crate::perf::tables;
use crate::{Result, workspace};
use std::fmt;
use std::path::{Path, PathBuf};

/// A deviation and its place.
#[derive(Debug, PartialEq)]
pub(crate) struct Finding {
    file: PathBuf,
    line: usize,
    message: String,
}

impl Finding {
    fn new(file: impl Into<PathBuf>, line: usize, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self
            .file
            .strip_prefix(workspace::root())
            .unwrap_or(&self.file);
        write!(f, "{}:{}: {}", file.display(), self.line, self.message)
    }
}

pub(crate) fn run() -> Result<()> {
    let metadata = Metadata::read()?;
    let root = workspace::root();
    let files = workspace::tracked_files()?;
    let checks = [
        ("dependency law", law::check(&metadata)),
        ("circles", circles::check(&metadata)),
        ("foreign types", signatures::check(&metadata)),
        ("one version each", versions::check(&metadata)),
        ("crate files", crate_files::check(&metadata)),
        ("crate table", readme::check(&metadata, &root)),
        ("feature tables", features::check(&metadata)),
        ("alerts and runbooks", alerts::check(&root)),
        ("dashboards and queries", dashboards::check(&root)),
        ("runbooks", runbooks::check(&root)),
        ("tables of performance", performance(&root)),
        ("words", words::check(&root, &files)),
        ("language", language::check(&root, &files)),
        ("sources", sources::check(&root, &files)),
    ];
    let mut drifted = 0;
    for (name, findings) in checks {
        println!(
            "tidy: {name}: {}",
            if findings.is_empty() {
                "fine".to_owned()
            } else {
                format!("{} findings", findings.len())
            }
        );
        for finding in &findings {
            println!("  {finding}");
        }
        drifted += findings.len();
    }
    if drifted == 0 {
        Ok(())
    } else {
        Err(format!("tidy found {drifted} problems"))
    }
}

/// Checks that the tables written by `cargo xtask perf` are unchanged.
fn performance(root: &Path) -> Vec<Finding> {
    let path = root.join(tables::DOCUMENT);
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let findings = tables::findings(&text).into_iter();
    findings
        .map(|message| Finding::new(&path, 1, message))
        .collect()
}

/// Returns the lines of a file, numbered from 1; empty if it is missing or not UTF-8.
fn lines_of(path: &Path) -> Vec<(usize, String)> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.to_owned()))
        .collect()
}
