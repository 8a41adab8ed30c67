//! Licenses of all crates linked into a program.

use crate::metadata::{Metadata, Package};
use crate::{Result, command};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Returns a list of the crates that a package is built from, with their licenses and license texts.
pub(super) fn collect(metadata: &Metadata, package: &str) -> Result<String> {
    let linked = linked(package)?;
    let linked = metadata.packages.iter().filter(|package| {
        let is_theirs = !metadata.workspace_members.contains(&package.id);
        is_theirs && linked.contains(&(package.name.clone(), package.version.clone()))
    });
    let mut linked: Vec<&Package> = linked.collect();
    linked.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    if linked.is_empty() {
        return Err(format!("cargo tree lists no dependencies of {package}"));
    }
    let mut text = String::from("Crates that this program is built from, and their licenses.\n\n");
    // many crates include the same text
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in linked {
        let license = package.license.as_deref().unwrap_or("see its text below");
        text += &format!("{} {}: {license}\n", package.name, package.version);
        for own in texts_of(package) {
            texts.entry(own).or_default().push(package.name.clone());
        }
    }
    for (license, crates) in texts {
        text += &format!(
            "\n{}\n{}\n\n{}\n",
            "-".repeat(80),
            crates.join(", "),
            license.trim()
        );
    }
    Ok(text)
}

/// Returns names and versions of the crates linked into a package, without build dependencies.
fn linked(package: &str) -> Result<BTreeSet<(String, String)>> {
    let output = command::output(&mut command::cargo([
        "tree",
        "--locked",
        "--package",
        package,
        "--edges",
        "normal,no-proc-macro",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(format!("cargo tree: {complaint}"));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let name = words.next()?;
        let version = words.next()?.strip_prefix('v')?;
        Some((name.to_owned(), version.to_owned()))
    });
    Ok(lines.collect())
}

/// Returns the license texts in the folder of a crate.
fn texts_of(package: &Package) -> Vec<String> {
    let Ok(entries) = fs::read_dir(package.folder()) else {
        return Vec::new();
    };
    let is_license = |name: &str| {
        let name = name.to_ascii_uppercase();
        ["LICENSE", "LICENCE", "COPYING", "NOTICE"]
            .iter()
            .any(|start| name.starts_with(start))
    };
    let mut files: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_file())
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| is_license(&name.to_string_lossy()))
        })
        .collect();
    files.sort();
    let texts = files
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok());
    texts.map(|text| text.replace("\r\n", "\n")).collect()
}
