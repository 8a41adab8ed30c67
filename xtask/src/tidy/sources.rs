//! Checks the shape of the sources: lib.rs only introduces and has no logic; other files are short.

use super::{Finding, lines_of};
use std::path::{Path, PathBuf};

/// Maximum number of lines of a source file before its tests.
const LONGEST: usize = 600;

pub(super) fn check(root: &Path, files: &[PathBuf]) -> Vec<Finding> {
    let sources = files.iter().filter(|file| is_crate_source(file));
    sources
        .flat_map(|file| {
            let lines = lines_of(&root.join(file));
            let logic = if file.ends_with("src/lib.rs") {
                logic_in_introduction(file, &lines)
            } else {
                None
            };
            too_long(file, &lines).into_iter().chain(logic)
        })
        .collect()
}

fn is_crate_source(file: &Path) -> bool {
    let mut parts = file.components().map(|part| part.as_os_str());
    parts.next().is_some_and(|part| part == "crates")
        && parts.nth(1).is_some_and(|part| part == "src")
        && file.extension().is_some_and(|extension| extension == "rs")
}

fn too_long(file: &Path, lines: &[(usize, String)]) -> Option<Finding> {
    let tests = lines
        .iter()
        .position(|(_, line)| line.trim_start() == "#[cfg(test)]")
        .unwrap_or(lines.len());
    let message = format!("{tests} lines before its tests, at most {LONGEST}: two concepts?");
    (tests > LONGEST).then(|| Finding::new(file, LONGEST, message))
}

/// Finds functions, implementations and types in lib.rs, which belong in other files. Exceptions: procedural macros,
/// which have to be declared there, so functions after their attribute are accepted, and the type for doctests of the
/// README.
fn logic_in_introduction(file: &Path, lines: &[(usize, String)]) -> Option<Finding> {
    let starts = [
        "fn ",
        "pub fn ",
        "async fn ",
        "pub async fn ",
        "impl ",
        "impl<",
        "pub struct ",
        "struct ",
        "pub enum ",
        "enum ",
    ];
    let mut exempt = false;
    for (number, line) in lines {
        if line.starts_with("#[proc_macro")
            || line.starts_with("#[doc = include_str!(\"../README.md\")]")
        {
            exempt = true;
        } else if starts.iter().any(|start| line.starts_with(start)) {
            if !exempt {
                return Some(Finding::new(
                    file,
                    *number,
                    format!("lib.rs must not contain logic: `{}`", line.trim()),
                ));
            }
            exempt = false;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(text: &str) -> Vec<(usize, String)> {
        text.lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line.to_owned()))
            .collect()
    }

    #[test]
    fn a_function_in_lib_rs_is_found_unless_it_declares_a_macro() {
        let file = Path::new("crates/a/src/lib.rs");
        assert_eq!(
            logic_in_introduction(file, &numbered("//! doc\nmod a;\npub use a::A;\n")),
            None
        );
        let found = logic_in_introduction(file, &numbered("mod a;\nfn sneaky() {}\n"));
        assert_eq!(found.map(|finding| finding.line), Some(2));
        assert_eq!(
            logic_in_introduction(
                file,
                &numbered("#[proc_macro_attribute]\npub fn cached_query() {}\n")
            ),
            None
        );
    }

    #[test]
    fn tests_do_not_count_into_the_length() {
        let file = Path::new("crates/a/src/b.rs");
        let code = "x\n".repeat(LONGEST);
        assert_eq!(
            too_long(file, &numbered(&format!("{code}#[cfg(test)]\n{code}"))),
            None
        );
        assert!(too_long(file, &numbered(&format!("{code}y\n"))).is_some());
    }

    #[test]
    fn only_sources_of_crates_are_measured() {
        assert!(is_crate_source(Path::new(
            "crates/ops-log/src/http/access.rs"
        )));
        assert!(!is_crate_source(Path::new(
            "crates/ops-log/tests/it/main.rs"
        )));
        assert!(!is_crate_source(Path::new("xtask/src/main.rs")));
    }
}
