//! Tools that check what would be published. They are compiled on demand into the tools folder; neither `setup` nor
//! `ci` needs them.

use crate::metadata::Package;
use crate::workspace::{Scratch, tools_dir};
use crate::{Result, command};
use std::path::PathBuf;
use std::process::Command;

/// Programs and their pinned versions on crates.io.
const MACHETE: (&str, &str) = ("cargo-machete", "0.9.2");
const DENY: (&str, &str) = ("cargo-deny", "0.20.2");
const SEMVER_CHECKS: (&str, &str) = ("cargo-semver-checks", "0.51.0");

/// Fails if a manifest has a dependency that no source file uses.
pub(super) fn unused_dependencies() -> Result<()> {
    let program = installed(MACHETE)?;
    command::run(command::program(program).args(["crates", "dev", "xtask"]))
}

/// Fails if a dependency has a license that `deny.toml` does not list, is banned there, or comes from elsewhere than
/// the registry. Advisories change daily, so the workflow checks them.
pub(super) fn licenses_and_sources() -> Result<()> {
    let program = installed(DENY)?;
    command::run(command::program(program).args([
        "--all-features",
        "check",
        "bans",
        "licenses",
        "sources",
    ]))
}

/// Compares the public API with that of `baseline`, by default that of the newest tag `v*`; without a tag there is
/// nothing to compare.
pub(super) fn public_api(baseline: Option<&str>, published: &[&Package]) -> Result<()> {
    let Some(baseline) = baseline.map_or_else(newest_tag, |tag| Ok(Some(tag.to_owned())))? else {
        println!("no tag v*: there is no public API to compare with");
        return Ok(());
    };
    let program = installed(SEMVER_CHECKS)?;
    // macros are in the API of the crate that re-exports them
    let libraries = published
        .iter()
        .filter(|package| package.targets_of("lib").next().is_some());
    for package in libraries {
        let mut check = command::program(&program);
        check.args(["semver-checks", "--baseline-rev", &baseline]);
        check.args(["--package", &package.name, "--only-explicit-features"]);
        // by default it would also enable the feature that compiles libduckdb
        for feature in package.cheap_features() {
            check.args(["--features", feature]);
        }
        command::run(&mut check)?;
    }
    Ok(())
}

/// Packs each crate, unpacks it and compiles it, as if its siblings came from the registry.
pub(super) fn packages() -> Result<()> {
    command::run(&mut command::cargo([
        "package",
        "--workspace",
        "--exclude",
        "kearney-platform",
        "--exclude",
        "xtask",
        "--exclude",
        "dev",
    ]))
}

fn newest_tag() -> Result<Option<String>> {
    let output = command::output(command::program("git").args([
        "tag",
        "--list",
        "v*",
        "--sort=-version:refname",
    ]))?;
    let tags = String::from_utf8_lossy(&output.stdout);
    Ok(tags.lines().next().map(str::to_owned))
}

/// Returns the path of a program, compiled first if this version is missing.
fn installed((name, version): (&str, &str)) -> Result<PathBuf> {
    let folder = tools_dir().join("release");
    let program = folder.join("bin").join(name);
    let answers = |command: &mut Command| {
        command::output(command).is_ok_and(|output| {
            let printed = String::from_utf8_lossy(&output.stdout);
            printed.split_whitespace().any(|word| word == version)
        })
    };
    if answers(Command::new(&program).arg("--version")) {
        return Ok(program);
    }
    let scratch = Scratch::new("install")?;
    command::run(
        command::cargo(["install", "--locked", "--version", version, name])
            .arg("--root")
            .arg(&folder)
            .arg("--target-dir")
            .arg(scratch.path()),
    )?;
    Ok(program)
}
