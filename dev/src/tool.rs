//! Servers of other projects, installed by the project's setup.

use std::path::PathBuf;

/// Returns the path of a program below the tools folder. If it is not installed, prints a line and returns `None`, or
/// panics if all tools are required.
///
/// # Panics
///
/// Panics if it is not installed and `OPS_TEST_REQUIRE_TOOLS` is 1.
pub fn find(program: &str, installed_by: &str) -> Option<PathBuf> {
    let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/../.tools");
    let target = std::env::var_os("CARGO_TARGET_DIR").map(|path| PathBuf::from(path).join("tools"));
    let program = target.unwrap_or_else(|| workspace.into()).join(program);
    if program.is_file() {
        return Some(program);
    }
    let message = format!(
        "skipped: no {}; `{installed_by}` installs it",
        program.display()
    );
    assert!(
        std::env::var_os("OPS_TEST_REQUIRE_TOOLS").is_none_or(|on| on != "1"),
        "{message}"
    );
    println!("{message}");
    None
}
