//! Part of `cargo metadata` used by the tasks.

use crate::{Result, command};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) workspace_members: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) description: Option<String>,
    pub(crate) license: Option<String>,
    pub(crate) manifest_path: PathBuf,
    /// `None`: any registry; an empty list: `publish = false`.
    pub(crate) publish: Option<Vec<String>>,
    pub(crate) features: BTreeMap<String, Vec<String>>,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for a normal dependency, otherwise `dev` or `build`.
    pub(crate) kind: Option<String>,
    pub(crate) optional: bool,
    pub(crate) req: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
}

/// Feature that compiles DuckDB from source; used only if there is no other way.
const BUNDLED: &str = "duckdb-bundled";

impl Metadata {
    pub(crate) fn read() -> Result<Self> {
        let output = command::output(&mut command::cargo([
            "metadata",
            "--format-version=1",
            "--locked",
        ]))?;
        if !output.status.success() {
            return Err(format!(
                "cargo metadata: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            ));
        }
        serde_json::from_slice(&output.stdout)
            .map_err(|e| format!("cannot read cargo metadata: {e}"))
    }

    /// Returns the packages of the workspace, by name.
    pub(crate) fn members(&self) -> Vec<&Package> {
        let ours: BTreeSet<&String> = self.workspace_members.iter().collect();
        let mut members: Vec<_> = self
            .packages
            .iter()
            .filter(|package| ours.contains(&package.id))
            .collect();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        members
    }

    /// Returns the members in `crates/`: all except `dev` and `xtask`.
    pub(crate) fn crates(&self) -> Vec<&Package> {
        self.members()
            .into_iter()
            .filter(|package| !["dev", "xtask"].contains(&package.name.as_str()))
            .collect()
    }
}

impl Package {
    pub(crate) fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(&self.manifest_path)
    }

    pub(crate) fn is_published(&self) -> bool {
        self.publish
            .as_ref()
            .is_none_or(|registries| !registries.is_empty())
    }

    /// Returns the features that do not compile DuckDB; `default` is a set of features, and not included.
    pub(crate) fn cheap_features(&self) -> Vec<&str> {
        let names = self.features.keys().map(String::as_str);
        names
            .filter(|name| *name != "default" && *name != BUNDLED)
            .collect()
    }

    /// Returns the names of targets of a kind, such as `bench`.
    pub(crate) fn targets_of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a str> {
        let of_kind = move |target: &&Target| target.kind.iter().any(|found| found == kind);
        self.targets
            .iter()
            .filter(of_kind)
            .map(|target| target.name.as_str())
    }
}

/// Returns every feature of every crate that does not compile DuckDB: the set with which the workspace is linted,
/// tested and documented.
pub(crate) fn all_features(crates: &[&Package]) -> String {
    let each = crates.iter().flat_map(|package| {
        package
            .cheap_features()
            .into_iter()
            .map(move |feature| format!("{}/{feature}", package.name))
    });
    each.collect::<Vec<_>>().join(",")
}
