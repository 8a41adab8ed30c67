//! Checks that each crate has a feature table that matches its manifest: in its README, in lib.rs, or in both.

use super::{Finding, lines_of};
use crate::metadata::{Metadata, Package};
use std::collections::BTreeMap;
use std::path::Path;

pub(super) fn check(metadata: &Metadata) -> Vec<Finding> {
    let crates = metadata.crates().into_iter();
    crates
        .filter(|package| package.is_published())
        .flat_map(drifted)
        .collect()
}

fn drifted(package: &Package) -> Vec<Finding> {
    let places = ["README.md", "src/lib.rs"].map(|name| package.folder().join(name));
    let texts = places.map(|path| (introduction(&path), path));
    let tables: Vec<_> = texts
        .iter()
        .filter_map(|(lines, path)| Some((path, rows(lines)?)))
        .collect();
    let has_features = package.features.keys().any(|name| name != "default");
    if tables.is_empty() && has_features {
        let readme = package.folder().join("README.md");
        return vec![Finding::new(
            readme,
            1,
            "no feature table here or in lib.rs",
        )];
    }
    tables
        .iter()
        .flat_map(|(path, rows)| compare(package, path, rows))
        .collect()
}

fn compare(package: &Package, file: &Path, rows: &BTreeMap<&str, usize>) -> Vec<Finding> {
    let features = &package.features;
    let missing = features
        .keys()
        .filter(|name| *name != "default" && !rows.contains_key(name.as_str()))
        .map(|name| Finding::new(file, 1, format!("the feature table lacks `{name}`")));
    let unknown = rows
        .iter()
        .filter(|(name, _)| **name != "default" && !features.contains_key(**name))
        .map(|(name, line)| Finding::new(file, *line, format!("unknown feature `{name}`")));
    missing.chain(unknown).collect()
}

/// Returns the lines of a README, or of a source file the text of its `//!` lines.
fn introduction(path: &Path) -> Vec<(usize, String)> {
    let lines = lines_of(path);
    if path.extension().is_some_and(|extension| extension == "md") {
        return lines;
    }
    let text = |line: &str| {
        line.strip_prefix("//!")
            .map(|text| text.trim_start().to_owned())
    };
    lines
        .into_iter()
        .filter_map(|(number, line)| Some((number, text(&line)?)))
        .collect()
}

/// Returns the feature names in the first column of the table whose header starts with `| feature` (any case).
fn rows(lines: &[(usize, String)]) -> Option<BTreeMap<&str, usize>> {
    let plain = |line: &str| line.to_lowercase().replace(['`', '*'], "");
    let header = lines
        .iter()
        .position(|(_, line)| plain(line).starts_with("| feature"))?;
    let in_table = lines
        .iter()
        .skip(header + 2)
        .take_while(|(_, line)| line.starts_with('|'));
    let names = in_table.flat_map(|(number, line)| names_in(line).map(|name| (name, *number)));
    Some(names.collect())
}

/// Returns the names in backticks in the first cell, which may contain several.
fn names_in(line: &str) -> impl Iterator<Item = &str> {
    let cell = line.split('|').nth(1).unwrap_or_default();
    cell.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::super::samples::package;
    use super::*;
    use crate::workspace::Scratch;

    fn crate_in(scratch: &Scratch) -> Package {
        let mut log = package("ops-log", &[]);
        log.manifest_path = scratch.path().join("Cargo.toml");
        let names = ["default", "http", "metrics"];
        log.features = names.map(|name| (name.to_owned(), Vec::new())).into();
        std::fs::create_dir_all(scratch.path().join("src")).unwrap();
        log
    }

    fn reported(package: &Package) -> Vec<(usize, String)> {
        let findings = drifted(package).into_iter();
        findings
            .map(|finding| (finding.line, finding.message))
            .collect()
    }

    #[test]
    fn the_table_and_the_features_agree_both_ways() {
        let scratch = Scratch::new("test-features").unwrap();
        let log = crate_in(&scratch);
        let table = "# x\n\n| Feature | adds |\n|---|---|\n| `http` | a |\n\
                     | `gone`, `default` | b |\n\n| `other` |\n";
        std::fs::write(scratch.path().join("README.md"), table).unwrap();
        let expected = [
            (1, "the feature table lacks `metrics`"),
            (6, "unknown feature `gone`"),
        ];
        assert_eq!(
            reported(&log),
            expected.map(|(line, message)| (line, message.to_owned()))
        );
    }

    #[test]
    fn a_table_in_the_introduction_is_enough_but_none_is_not() {
        let scratch = Scratch::new("test-features-lib").unwrap();
        let log = crate_in(&scratch);
        assert_eq!(reported(&log).len(), 1);
        let introduction =
            "//! | feature | adds |\n//! |---|---|\n//! | `http` | a |\n//! | `metrics` | b |\n";
        std::fs::write(scratch.path().join("src/lib.rs"), introduction).unwrap();
        assert_eq!(reported(&log), []);
    }
}
