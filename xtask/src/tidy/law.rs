//! Checks the dependency law of docs/architecture.md: which crate may depend on which.

use super::{Finding, lines_of};
use crate::metadata::{Dependency, Metadata, Package};

const MICRO: [&str; 7] = [
    "ops-black-box",
    "ops-history",
    "ops-secrets",
    "ops-log",
    "ops-trace",
    "ops-metrics",
    "data-cache",
];
const HTTP_MAY_NEED: [&str; 7] = [
    "http",
    "http-body",
    "tower-layer",
    "tower-service",
    "pin-project-lite",
    "axum",
    "bytes",
];

pub(super) fn check(metadata: &Metadata) -> Vec<Finding> {
    let members = metadata.members();
    let ours: Vec<&str> = members
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let mut findings = Vec::new();
    for package in &members {
        for dependency in &package.dependencies {
            if let Some(article) = broken_article(package, dependency, &ours) {
                findings.push(at_dependency(package, &dependency.name, article));
            }
        }
    }
    findings.extend(members.iter().flat_map(|package| exact_macros(package)));
    findings
}

/// Returns the article of the law that this dependency breaks.
fn broken_article(
    package: &Package,
    dependency: &Dependency,
    ours: &[&str],
) -> Option<&'static str> {
    // for its tests a crate may depend on itself, to enable its own features
    let is_ours = ours.contains(&dependency.name.as_str()) && dependency.name != package.name;
    let is_normal = dependency.kind.is_none();
    match package.name.as_str() {
        name if MICRO.contains(&name) && is_ours => {
            let macros = name == "data-cache" && dependency.name == "data-cache-macros";
            let http = dependency.name == "ops-http" && dependency.optional && is_normal;
            (!macros && !http && !is_shared_bench(dependency)).then_some(
                "article 1: a micro-crate depends on no sibling (ops-http: optional only; dev: for benches only)",
            )
        }
        "ops-http" if is_normal && !HTTP_MAY_NEED.contains(&dependency.name.as_str()) => {
            Some("article 2: ops-http needs the http and tower traits only")
        }
        "ops-http" if is_ours => Some("article 2: ops-http depends on nothing of ours"),
        "ops-admin" if is_ours && is_normal && !dependency.optional => {
            Some("article 3: ops-admin reads each micro-crate behind a feature of its name")
        }
        "ops-layer"
            if is_ours && is_normal && !dependency.optional && dependency.name != "ops-http" =>
        {
            Some("article 4: ops-layer names each crate as an optional dependency")
        }
        "kearney-platform" if is_ours && dependency.name != "ops-layer" => {
            Some("article 5: the platform depends on ops-layer alone")
        }
        "data-cache-macros" if is_ours && is_normal => {
            Some("article 1: the macros depend on nothing of ours")
        }
        "dev" | "xtask" if is_ours => Some("article 6: dev and xtask depend on none of ours"),
        _ if dependency.name == "dev" && !is_shared_bench(dependency) => {
            Some("article 1: dev is a dev-dependency, by path and without a version")
        }
        _ => None,
    }
}

/// Returns `true` for a dev-dependency on `dev` without a version, which cargo leaves out of packages.
fn is_shared_bench(dependency: &Dependency) -> bool {
    dependency.name == "dev" && dependency.kind.as_deref() == Some("dev") && dependency.req == "*"
}

/// Checks that data-cache pins the version of its macros, which are released together with it.
fn exact_macros(package: &Package) -> Option<Finding> {
    let loose = package
        .dependencies
        .iter()
        .find(|d| d.name == "data-cache-macros" && !d.req.starts_with('='))?;
    Some(at_dependency(
        package,
        &loose.name,
        "article 1: data-cache-macros is pinned with \"=\"",
    ))
}

fn at_dependency(package: &Package, name: &str, article: &str) -> Finding {
    let line = lines_of(&package.manifest_path)
        .into_iter()
        .find(|(_, text)| {
            text.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with([' ', '.', '=']))
        });
    let message = format!("{} depends on {name}: {article}", package.name);
    Finding::new(
        &package.manifest_path,
        line.map_or(1, |(number, _)| number),
        message,
    )
}

#[cfg(test)]
mod tests {
    use super::super::samples::{dependency, package, workspace};
    use super::*;

    fn found(package_under_test: Package) -> Vec<String> {
        let siblings = ["ops-http", "ops-log", "ops-layer", "data-cache-macros"];
        let mut packages: Vec<_> = siblings.iter().map(|name| package(name, &[])).collect();
        packages.retain(|sibling| sibling.name != package_under_test.name);
        packages.push(package_under_test);
        check(&workspace(packages))
            .into_iter()
            .map(|finding| finding.message)
            .collect()
    }

    #[test]
    fn a_micro_crate_may_not_name_a_sibling_even_for_tests() {
        let mut trace = package("ops-trace", &["tracing"]);
        trace
            .dependencies
            .push(dependency("ops-trace", Some("dev"), false));
        assert!(found(trace.clone()).is_empty());
        trace
            .dependencies
            .push(dependency("ops-log", Some("dev"), false));
        assert!(found(trace)[0].contains("ops-trace depends on ops-log: article 1"));
    }

    #[test]
    fn a_micro_crate_may_name_ops_http_behind_a_feature_only() {
        let mut metrics = package("ops-metrics", &[]);
        metrics.dependencies = vec![dependency("ops-http", None, true)];
        assert!(found(metrics.clone()).is_empty());
        metrics.dependencies = vec![dependency("ops-http", None, false)];
        assert_eq!(found(metrics).len(), 1);
    }

    #[test]
    fn dev_is_for_benches_and_has_no_version() {
        let mut log = package("ops-log", &[]);
        let mut dev = dependency("dev", Some("dev"), false);
        dev.req = "*".to_owned();
        log.dependencies = vec![dev.clone()];
        let siblings = [package("dev", &[]), log.clone()];
        assert!(check(&workspace(siblings.to_vec())).is_empty());
        for broken in [
            Dependency {
                kind: None,
                ..dev.clone()
            },
            Dependency {
                req: "^0.1".to_owned(),
                ..dev
            },
        ] {
            log.dependencies = vec![broken];
            let siblings = [package("dev", &[]), log.clone()];
            assert_eq!(check(&workspace(siblings.to_vec())).len(), 1);
        }
    }

    #[test]
    fn the_platform_knows_the_umbrella_alone() {
        assert!(found(package("kearney-platform", &["axum", "ops-layer"])).is_empty());
        assert!(found(package("kearney-platform", &["ops-log"]))[0].contains("article 5"));
    }

    #[test]
    fn the_umbrella_takes_every_crate_as_an_option() {
        assert!(found(package("ops-layer", &["ops-log"]))[0].contains("article 4"));
    }

    #[test]
    fn ops_http_and_xtask_know_nothing_of_ours() {
        assert!(found(package("ops-http", &["http", "axum"])).is_empty());
        assert!(found(package("ops-http", &["tokio"]))[0].contains("article 2"));
        assert!(found(package("xtask", &["ops-log"]))[0].contains("article 6"));
    }

    #[test]
    fn the_macros_are_pinned_exactly() {
        let mut cache = package("data-cache", &["data-cache-macros"]);
        assert!(found(cache.clone())[0].contains("pinned"));
        cache.dependencies[0].req = "=0.1.0".to_owned();
        assert!(found(cache).is_empty());
    }
}
