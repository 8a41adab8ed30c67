//! `cargo xtask release`: reports what would be published, in which order, and what prevents it.

mod checks;

use crate::metadata::{Metadata, Package};
use crate::tools::LIBDUCKDB;
use crate::{Result, command, setup};
use std::collections::BTreeSet;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Publish for real, crate by crate
    #[arg(long)]
    execute: bool,
    /// Compare the public API with this revision instead of the newest tag
    #[arg(long, value_name = "REVISION")]
    baseline: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let metadata = Metadata::read()?;
    let crates: Vec<_> = metadata
        .crates()
        .into_iter()
        .filter(|package| package.is_published())
        .collect();
    let order = publication_order(&crates)?;
    let obstacles: Vec<String> = order
        .iter()
        .flat_map(|package| obstacles(package))
        .collect();
    for obstacle in &obstacles {
        println!("release: {obstacle}");
    }
    for line in setup::ensure(&[LIBDUCKDB])? {
        println!("{line}");
    }
    checks::unused_dependencies()?;
    checks::licenses_and_sources()?;
    checks::public_api(args.baseline.as_deref(), &order)?;
    checks::packages()?;
    for package in &order {
        let mut publish = command::cargo(["publish", "--locked", "--package", &package.name]);
        if args.execute && obstacles.is_empty() {
            command::run(&mut publish)?;
        } else {
            println!(
                "cargo publish --locked --package {}    # {}",
                package.name, package.version
            );
        }
    }
    if obstacles.is_empty() {
        Ok(())
    } else {
        Err(format!("{} obstacles to a release", obstacles.len()))
    }
}

/// Orders the crates so that each comes after its dependencies. Dev-dependencies do not count, as they are not
/// published.
fn publication_order<'a>(crates: &[&'a Package]) -> Result<Vec<&'a Package>> {
    let ours: BTreeSet<&str> = crates.iter().map(|package| package.name.as_str()).collect();
    let (mut order, mut done) = (Vec::new(), BTreeSet::new());
    while order.len() < crates.len() {
        let ready = |package: &&&Package| {
            let needs = package
                .dependencies
                .iter()
                .filter(|d| d.kind.as_deref() != Some("dev"));
            !done.contains(package.name.as_str())
                && needs
                    .map(|d| d.name.as_str())
                    .all(|name| !ours.contains(name) || done.contains(name))
        };
        let next = *crates
            .iter()
            .find(ready)
            .ok_or("the crates have a cyclic dependency")?;
        done.insert(next.name.as_str());
        order.push(next);
    }
    Ok(order)
}

fn obstacles(package: &Package) -> Vec<String> {
    let changelog =
        std::fs::read_to_string(package.folder().join("CHANGELOG.md")).unwrap_or_default();
    if has_entry(&changelog, &package.version) {
        return Vec::new();
    }
    vec![format!(
        "{}: CHANGELOG.md has no heading for {}",
        package.name, package.version
    )]
}

fn has_entry(changelog: &str, version: &str) -> bool {
    let names_it = |line: &str| {
        let mut words = line.split(|c: char| c.is_whitespace() || "[]()".contains(c));
        words.any(|word| word == version)
    };
    changelog
        .lines()
        .any(|line| line.starts_with("## ") && names_it(line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::samples::package;

    #[test]
    fn a_crate_is_published_after_what_it_needs() {
        let (umbrella, log) = (
            package("a-umbrella", &["ops-log"]),
            package("ops-log", &["slog"]),
        );
        let order = publication_order(&[&umbrella, &log]).unwrap();
        assert_eq!(
            order.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(),
            ["ops-log", "a-umbrella"]
        );
    }

    #[test]
    fn a_cyclic_dependency_is_an_error() {
        let (one, two) = (package("one", &["two"]), package("two", &["one"]));
        assert!(
            publication_order(&[&one, &two])
                .unwrap_err()
                .contains("cyclic")
        );
    }

    #[test]
    fn the_changelog_must_have_a_heading_for_the_version() {
        assert!(has_entry(
            "# Changelog\n\n## [0.1.0] - 2026-11-24\n",
            "0.1.0"
        ));
        assert!(!has_entry("## 0.1.0\n", "0.1"));
        assert!(!has_entry("0.1.0\n", "0.1.0"));
    }
}
