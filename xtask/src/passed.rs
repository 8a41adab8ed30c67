//! Cache of passed checks: in a fresh clone files have new times, so cargo compiles everything again, although no
//! content has changed.
//!
//! Two checks are equal if their commands and inputs are: the sources of a crate and of the workspace crates it is
//! built from, manifests, lockfile, compiler and its flags.

use crate::metadata::{Metadata, Package};
use crate::setup::sha256;
use crate::{Result, command, workspace};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Folders of a package that are not inputs of a check of its library.
const UNREAD: [&str; 3] = ["tests", "benches", "examples"];

/// Digests of the inputs of checks.
pub(crate) struct Content {
    /// Digest of the inputs common to all crates.
    common: String,
    /// Digest of each crate of the workspace, and the names of the crates that it is built from.
    crates: BTreeMap<String, (String, Vec<String>)>,
}

impl Content {
    pub(crate) fn read(metadata: &Metadata) -> Result<Self> {
        let compiler = command::output(command::program("rustc").arg("-vV"))?;
        let flags = std::env::var_os("RUSTFLAGS").unwrap_or_default();
        let mut common = [&compiler.stdout[..], flags.as_encoded_bytes()].concat();
        for file in ["Cargo.toml", "Cargo.lock", ".cargo/config.toml"] {
            common.extend(read(&workspace::root().join(file))?);
        }
        let members = metadata.members();
        let names: Vec<_> = members.iter().map(|package| &package.name).collect();
        let mut crates = BTreeMap::new();
        for package in &members {
            let normal = package
                .dependencies
                .iter()
                .filter(|dependency| dependency.kind.as_deref() != Some("dev"));
            let ours = normal.filter(|dependency| names.contains(&&dependency.name));
            let built_from = ours.map(|dependency| dependency.name.clone()).collect();
            crates.insert(package.name.clone(), (digest_of(package)?, built_from));
        }
        let common = sha256(&common);
        Ok(Self { common, crates })
    }

    /// Returns the digest of a crate and of all crates that it is built from.
    fn of(&self, name: &str) -> String {
        let (mut wanted, mut all) = (vec![name], BTreeMap::new());
        while let Some(next) = wanted.pop() {
            if let Some((digest, built_from)) = self.crates.get(next)
                && all.insert(next, digest).is_none()
            {
                wanted.extend(built_from.iter().map(String::as_str));
            }
        }
        sha256(format!("{} {all:?}", self.common).as_bytes())
    }

    /// Runs a check of a crate, unless it passed before with the same content. Returns `true` if it ran.
    pub(crate) fn check(&self, package: &Package, check: &mut Command) -> Result<bool> {
        let passed = workspace::target_dir().join("xtask/passed");
        let stamp = passed.join(sha256(command::shown(check).as_bytes()));
        let content = self.of(&package.name);
        if fs::read_to_string(&stamp).is_ok_and(|before| before == content) {
            return Ok(false);
        }
        command::run(check)?;
        fs::create_dir_all(&passed)
            .and_then(|()| fs::write(&stamp, content))
            .map_err(|e| format!("cannot write {}: {e}", stamp.display()))?;
        Ok(true)
    }
}

fn digest_of(package: &Package) -> Result<String> {
    let mut text = String::new();
    for file in workspace::files(package.folder())? {
        if !UNREAD.iter().any(|folder| file.starts_with(folder)) {
            let digest = sha256(&read(&package.folder().join(&file))?);
            text += &format!("{} {digest}\n", file.display());
        }
    }
    Ok(sha256(text.as_bytes()))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).map_err(|e| format!("cannot read {}: {e}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(log: &str) -> Content {
        let none = || (String::new(), Vec::new());
        let crates = [
            ("layer", (String::new(), vec!["log".to_owned()])),
            ("log", (log.to_owned(), vec!["layer".to_owned()])),
            ("cache", none()),
        ];
        Content {
            common: String::new(),
            crates: crates.map(|(name, of)| (name.to_owned(), of)).into(),
        }
    }

    #[test]
    fn what_a_crate_is_built_from_counts_and_nothing_else() {
        let (before, after) = (content("a"), content("b"));
        for (name, changes) in [("log", true), ("layer", true), ("cache", false)] {
            assert_eq!(before.of(name) != after.of(name), changes, "{name}");
        }
    }
}
