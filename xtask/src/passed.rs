//! Cache of passed checks: in a fresh clone files have new times, so cargo compiles everything again, although no
//! content has changed.
//!
//! Two checks are equal if their commands are, and the content that they depend on: files of the workspace, the compiler
//! and its flags. `ci --full` repeats all checks.

use crate::metadata::{Metadata, Package};
use crate::setup::sha256;
use crate::{Result, command, workspace};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders of a package that a check of its library does not depend on.
const BESIDE_THE_LIBRARY: [&str; 3] = ["tests", "benches", "examples"];

/// Digests of the content that checks depend on.
pub(crate) struct Content {
    /// Digest of every file that git tracks.
    workspace: String,
    /// Digest of compiler, flags, manifest and lockfile.
    common: String,
    crates: BTreeMap<String, Crate>,
    /// Repeat checks that passed.
    repeats: bool,
}

struct Crate {
    /// Digest of the files of its library.
    library: String,
    /// Digest of all of its files.
    all: String,
    /// Crates of the workspace that it is built or tested with.
    uses: Vec<String>,
}

impl Content {
    pub(crate) fn read(metadata: &Metadata, repeats: bool) -> Result<Self> {
        let compiler = command::output(command::program("rustc").arg("-vV"))?;
        let flags = std::env::var_os("RUSTFLAGS").unwrap_or_default();
        let mut common = [&compiler.stdout[..], flags.as_encoded_bytes()].concat();
        for file in ["Cargo.toml", "Cargo.lock", ".cargo/config.toml"] {
            common.extend(read(&workspace::root().join(file))?);
        }
        let common = sha256(&common);
        let members = metadata.members();
        let names: Vec<_> = members.iter().map(|package| &package.name).collect();
        let mut crates = BTreeMap::new();
        for package in &members {
            let used = package.dependencies.iter().map(|used| &used.name);
            let files = workspace::files(package.folder())?;
            let is_of_library = |file: &&PathBuf| {
                !BESIDE_THE_LIBRARY
                    .iter()
                    .any(|folder| file.starts_with(folder))
            };
            let read = Crate {
                library: digest(package.folder(), files.iter().filter(is_of_library))?,
                all: digest(package.folder(), &files)?,
                uses: used.filter(|used| names.contains(used)).cloned().collect(),
            };
            crates.insert(package.name.clone(), read);
        }
        let tracked = digest(&workspace::root(), &workspace::tracked_files()?)?;
        Ok(Self {
            workspace: sha256(format!("{common} {tracked}").as_bytes()),
            common,
            crates,
            repeats,
        })
    }

    /// Returns the content of the whole workspace.
    pub(crate) fn of_workspace(&self) -> &str {
        &self.workspace
    }

    /// Returns the content of a crate's library and of the libraries that it uses.
    pub(crate) fn of_library(&self, package: &Package) -> String {
        let (mut wanted, mut libraries) = (vec![&package.name], BTreeMap::new());
        while let Some(next) = wanted.pop() {
            if let Some(found) = self.crates.get(next)
                && libraries.insert(next, &found.library).is_none()
            {
                wanted.extend(&found.uses);
            }
        }
        sha256(format!("{} {libraries:?}", self.common).as_bytes())
    }

    /// Returns the content of all files of a crate, and of the libraries that it uses.
    pub(crate) fn of_benchmarks(&self, package: &Package) -> String {
        let all = self.crates.get(&package.name).map(|found| &found.all);
        sha256(format!("{} {all:?}", self.of_library(package)).as_bytes())
    }

    /// Runs a check, unless it passed before with the same content. Returns `true` if it ran.
    pub(crate) fn check(&self, content: &str, check: &mut Command) -> Result<bool> {
        if self.has_passed(content, check) {
            return Ok(false);
        }
        command::run(check)?;
        note_passed(content, check)?;
        Ok(true)
    }

    /// Returns `true` if a check need not run: it passed before with the same content.
    pub(crate) fn has_passed(&self, content: &str, check: &Command) -> bool {
        !self.repeats && fs::read_to_string(stamp_of(check)).is_ok_and(|before| before == content)
    }
}

/// Notes that a check passed.
fn note_passed(content: &str, check: &Command) -> Result<()> {
    let stamp = stamp_of(check);
    let write = || {
        stamp.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(&stamp, content)
    };
    write().map_err(|e| format!("cannot write {}: {e}", stamp.display()))
}

/// Returns the file with the content with which a check passed.
fn stamp_of(check: &Command) -> PathBuf {
    let name = sha256(command::shown(check).as_bytes());
    folder().join(name)
}

/// Returns the folder with notes of checks that passed.
pub(crate) fn folder() -> PathBuf {
    workspace::target_dir().join("xtask/passed")
}

/// Returns the digest of names and contents of files. A removed file that git still tracks has no content.
fn digest<'a>(folder: &Path, files: impl IntoIterator<Item = &'a PathBuf>) -> Result<String> {
    let mut text = String::new();
    for file in files {
        let path = folder.join(file);
        let digest = if path.exists() {
            sha256(&read(&path)?)
        } else {
            "none".to_owned()
        };
        text += &format!("{} {digest}\n", file.display());
    }
    Ok(sha256(text.as_bytes()))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).map_err(|e| format!("cannot read {}: {e}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(log: &str, bench: &str) -> Content {
        let one = |library: &str, all: &str, uses: &[&str]| Crate {
            library: library.to_owned(),
            all: all.to_owned(),
            uses: uses.iter().map(|&used| used.to_owned()).collect(),
        };
        let crates = [
            ("layer", one("", "", &["log"])),
            ("log", one(log, bench, &["layer"])),
            ("cache", one("", "", &[])),
        ];
        Content {
            workspace: String::new(),
            common: String::new(),
            crates: crates.map(|(name, of)| (name.to_owned(), of)).into(),
            repeats: false,
        }
    }

    fn package(name: &str) -> Package {
        let metadata = serde_json::json!({
            "id": name, "name": name, "version": "0.1.0", "manifest_path": "Cargo.toml",
            "features": {}, "dependencies": [], "targets": [],
        });
        serde_json::from_value(metadata).unwrap()
    }

    #[test]
    fn the_libraries_that_a_crate_uses_count_and_its_benchmarks_for_themselves() {
        let (before, log, bench) = (content("a", "a"), content("b", "b"), content("a", "b"));
        for (name, library, benchmarks) in [
            ("log", true, true),
            ("layer", true, false),
            ("cache", false, false),
        ] {
            let package = package(name);
            let of = |content: &Content| {
                (
                    content.of_library(&package),
                    content.of_benchmarks(&package),
                )
            };
            let changed = |after| (of(&before).0 != of(after).0, of(&before).1 != of(after).1);
            assert_eq!(changed(&log), (library, library), "{name}");
            assert_eq!(changed(&bench), (false, benchmarks), "{name}");
        }
    }
}
