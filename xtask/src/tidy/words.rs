//! Finds words and paths of a single machine, which must not be in the repository.

use super::{Finding, lines_of};
use std::path::{Path, PathBuf};

/// Forbidden words, each in two halves, so that this file does not match itself.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    (
        "registry.",
        "npmjs.org",
        "packages are fetched by name only",
    ),
    (
        "files.",
        "pythonhosted.org",
        "packages are fetched by name only",
    ),
    ("pypi.", "org/simple", "packages are fetched by name only"),
    ("deb.", "debian.org", "packages are fetched by name only"),
    ("/ro", "ot/", "a path of one machine"),
    ("/ho", "me/", "a path of one machine"),
    ("/wo", "rk/", "a path of one machine"),
    ("/t", "mp/", "a path of one machine"),
    ("<<<<", "<<< ", "an unresolved merge"),
    (">>>>", ">>> ", "an unresolved merge"),
];

pub(super) fn check(root: &Path, files: &[PathBuf]) -> Vec<Finding> {
    let checked = files.iter().filter(|file| *file != Path::new("Cargo.lock"));
    checked
        .flat_map(|file| found_in(file, &lines_of(&root.join(file))))
        .collect()
}

fn found_in(file: &Path, lines: &[(usize, String)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in lines {
        for (head, tail, why) in FORBIDDEN {
            let word = format!("{head}{tail}");
            if stands_alone(line, &word) {
                findings.push(Finding::new(file, *number, format!("`{word}`: {why}")));
            }
        }
    }
    findings
}

/// Returns `true` if a path occurs on its own, not inside another one such as `docs/tmp/`.
fn stands_alone(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !word.starts_with('/')
            || !before.is_some_and(|c| c.is_ascii_alphanumeric() || "._-}*~$".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_one_machine_is_found_where_it_begins() {
        let message = |line: &str| found_in(Path::new("a.md"), &[(3, line.to_owned())]).len();
        assert_eq!(message(&format!("see {}{}x", "/t", "mp/")), 1);
        assert_eq!(message(&format!("see docs{}{}x", "/t", "mp/")), 0);
        assert_eq!(message(&format!("from {}{}", "registry.", "npmjs.org")), 1);
        assert_eq!(message("an ordinary line"), 0);
    }
}
