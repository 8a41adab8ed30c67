//! Sample packages for tests.

use crate::metadata::{Dependency, Metadata, Package};

pub(crate) fn package(name: &str, needs: &[&str]) -> Package {
    Package {
        id: name.to_owned(),
        name: name.to_owned(),
        version: "0.1.0".to_owned(),
        description: Some("a sample".to_owned()),
        license: Some("MIT OR Apache-2.0".to_owned()),
        manifest_path: format!("crates/{name}/Cargo.toml").into(),
        publish: None,
        features: [].into(),
        dependencies: needs
            .iter()
            .map(|need| dependency(need, None, false))
            .collect(),
        targets: Vec::new(),
    }
}

pub(crate) fn dependency(name: &str, kind: Option<&str>, optional: bool) -> Dependency {
    Dependency {
        name: name.to_owned(),
        kind: kind.map(str::to_owned),
        optional,
        req: "^0.1".to_owned(),
    }
}

pub(crate) fn workspace(packages: Vec<Package>) -> Metadata {
    let workspace_members = packages.iter().map(|package| package.id.clone()).collect();
    Metadata {
        packages,
        workspace_members,
    }
}
