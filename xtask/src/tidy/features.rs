//! Each crate's README has a feature table that says what its manifest says.

use super::{Finding, lines_of};
use crate::metadata::{Metadata, Package};
use std::collections::BTreeMap;

pub(super) fn check(metadata: &Metadata) -> Vec<Finding> {
    metadata
        .crates()
        .into_iter()
        .filter(|package| package.is_published())
        .flat_map(drifted)
        .collect()
}

fn drifted(package: &Package) -> Vec<Finding> {
    let readme = package.folder().join("README.md");
    let lines = lines_of(&readme);
    let rows = rows(&lines);
    let optional = package.features.keys().filter(|name| *name != "default");
    let mut findings: Vec<_> = optional
        .filter(|name| !rows.contains_key(name.as_str()))
        .map(|name| Finding::new(&readme, 1, format!("the feature table lacks `{name}`")))
        .collect();
    let unknown = rows
        .iter()
        .filter(|(name, _)| **name != "default" && !package.features.contains_key(**name));
    findings.extend(
        unknown.map(|(name, line)| {
            Finding::new(&readme, *line, format!("there is no feature `{name}`"))
        }),
    );
    findings
}

/// The first cells of the table whose header starts with `| feature` (any case).
fn rows(lines: &[(usize, String)]) -> BTreeMap<&str, usize> {
    let is_header = |line: &str| {
        line.to_lowercase()
            .replace(['`', '*'], "")
            .starts_with("| feature")
    };
    let table = lines
        .iter()
        .skip_while(|(_, line)| !is_header(line))
        .skip(2);
    let in_table = table.take_while(|(_, line)| line.starts_with('|'));
    in_table
        .flat_map(|(number, line)| names_in(line).map(move |name| (name, *number)))
        .collect()
}

/// A first cell may name several features, each in backticks.
fn names_in(line: &str) -> impl Iterator<Item = &str> {
    let cell = line.split('|').nth(1).unwrap_or_default();
    cell.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::super::samples::package;
    use super::*;
    use crate::workspace::Scratch;

    #[test]
    fn the_table_and_the_features_agree_both_ways() {
        let scratch = Scratch::new("test-features").unwrap();
        let mut log = package("ops-log", &[]);
        log.manifest_path = scratch.path().join("Cargo.toml");
        log.features = ["default", "http", "metrics"]
            .map(|name| (name.to_owned(), Vec::new()))
            .into();
        let table = "# x\n\n| Feature | adds |\n|---|---|\n| `http` | a |\n| `gone`, `default` | b |\n\n| `other` |\n";
        std::fs::write(scratch.path().join("README.md"), table).unwrap();
        let told: Vec<_> = drifted(&log)
            .into_iter()
            .map(|finding| (finding.line, finding.message))
            .collect();
        let expected = [
            (1, "the feature table lacks `metrics`"),
            (6, "there is no feature `gone`"),
        ];
        assert_eq!(
            told,
            expected.map(|(line, message)| (line, message.to_owned()))
        );
    }
}
