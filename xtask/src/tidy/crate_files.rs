//! Checks that every crate has a README, a CHANGELOG, a description and a license.

use super::Finding;
use crate::metadata::{Metadata, Package};

pub(super) fn check(metadata: &Metadata) -> Vec<Finding> {
    metadata.crates().into_iter().flat_map(missing).collect()
}

fn missing(package: &Package) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in ["README.md", "CHANGELOG.md"] {
        let path = package.folder().join(file);
        if !std::fs::read_to_string(&path).is_ok_and(|text| text.lines().count() > 2) {
            findings.push(Finding::new(path, 1, "is missing or empty"));
        }
    }
    let fields = [
        ("description", &package.description),
        ("license", &package.license),
    ];
    for (field, value) in fields {
        if value.as_deref().is_none_or(|text| text.trim().is_empty()) {
            findings.push(Finding::new(
                &package.manifest_path,
                1,
                format!("{} has no {field}", package.name),
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::samples::package;
    use super::*;
    use crate::workspace::Scratch;

    #[test]
    fn an_empty_crate_lacks_all_four() {
        let scratch = Scratch::new("test-crate-files").unwrap();
        let mut bare = package("bare", &[]);
        bare.manifest_path = scratch.path().join("Cargo.toml");
        (bare.description, bare.license) = (None, Some(" ".to_owned()));
        assert_eq!(missing(&bare).len(), 4);
        for file in ["README.md", "CHANGELOG.md"] {
            std::fs::write(scratch.path().join(file), "# a\n\nb\n").unwrap();
        }
        assert_eq!(missing(&bare).len(), 2);
    }
}
