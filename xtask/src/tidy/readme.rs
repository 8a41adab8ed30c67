//! Checks that the crate table of the root README names exactly the crates of the workspace.

use super::{Finding, lines_of};
use crate::metadata::Metadata;
use std::collections::BTreeMap;
use std::path::Path;

pub(super) fn check(metadata: &Metadata, root: &Path) -> Vec<Finding> {
    let readme = root.join("README.md");
    let names: Vec<&str> = metadata
        .crates()
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let lines = lines_of(&readme);
    compare(&readme, &lines, &names)
}

fn compare(readme: &Path, lines: &[(usize, String)], names: &[&str]) -> Vec<Finding> {
    let rows: BTreeMap<&str, usize> = lines
        .iter()
        .filter_map(|(number, line)| Some((row_name(line)?, *number)))
        .collect();
    let unknown = rows.iter().filter(|(name, _)| !names.contains(name));
    let mut findings: Vec<_> = unknown
        .map(|(name, line)| Finding::new(readme, *line, format!("unknown crate {name}")))
        .collect();
    let missing = names.iter().filter(|name| !rows.contains_key(*name));
    findings.extend(
        missing.map(|name| Finding::new(readme, 1, format!("the crate table lacks {name}"))),
    );
    findings
}

/// Returns the name in a row such as `| [`ops-log`](crates/ops-log) | ...`.
fn row_name(line: &str) -> Option<&str> {
    line.strip_prefix("| [`")?
        .split_once('`')
        .map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_and_the_manifests_agree_both_ways() {
        let lines = [
            (7, "| [`ops-log`](crates/ops-log) | logs |".to_owned()),
            (8, "| [`gone`](x) | - |".to_owned()),
        ];
        let findings = compare(Path::new("README.md"), &lines, &["ops-log", "ops-trace"]);
        let message: Vec<_> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(
            message,
            [
                "README.md:8: unknown crate gone",
                "README.md:1: the crate table lacks ops-trace"
            ]
        );
    }
}
