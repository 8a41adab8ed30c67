//! Checks for a single version of each crate that has process-wide state, or whose types are passed between crates.

use super::{Finding, lines_of};
use crate::metadata::Metadata;
use crate::workspace;
use std::collections::BTreeSet;

const ONE_OF_EACH: [&str; 9] = [
    "tracing-core",
    "log",
    "slog",
    "metrics",
    "opentelemetry",
    "arrow",
    "duckdb",
    "axum",
    "http",
];

/// Prefix of the accepted second version of `http`: a dependency needs 0.2 for old conversions, and does not expose it.
const HTTP_EXCEPTION: &str = "0.2.";

pub(super) fn check(metadata: &Metadata) -> Vec<Finding> {
    ONE_OF_EACH
        .iter()
        .filter_map(|name| repeated(metadata, name))
        .collect()
}

fn repeated(metadata: &Metadata, name: &str) -> Option<Finding> {
    let versions: BTreeSet<&str> = metadata
        .packages
        .iter()
        .filter(|package| package.name == name)
        .map(|package| package.version.as_str())
        .filter(|version| !(name == "http" && version.starts_with(HTTP_EXCEPTION)))
        .collect();
    if versions.len() < 2 {
        return None;
    }
    let lock = workspace::root().join("Cargo.lock");
    let wanted = format!("name = \"{name}\"");
    let line = lines_of(&lock)
        .into_iter()
        .find(|(_, text)| *text == wanted)
        .map_or(1, |(number, _)| number);
    let listed = versions.into_iter().collect::<Vec<_>>().join(" and ");
    Some(Finding::new(
        lock,
        line,
        format!("several versions of {name}: {listed}; their state and types would be separate"),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::samples::{package, workspace};
    use super::*;

    #[test]
    fn two_versions_of_a_crate_with_global_state_are_found() {
        let (mut old, new) = (package("metrics", &[]), package("metrics", &[]));
        old.version = "0.23.0".to_owned();
        let findings = check(&workspace(vec![old, new.clone()]));
        assert_eq!(findings.len(), 1);
        assert!(
            findings[0].message.contains("0.1.0 and 0.23.0"),
            "{}",
            findings[0]
        );
        assert!(check(&workspace(vec![new])).is_empty());
    }
}
