//! Sets the rpath to the linked libduckdb for binaries, tests and examples, and the git commit and rustc version for
//! the program.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=DUCKDB_LIB_DIR");
    println!("cargo:rerun-if-env-changed=KEARNEY_RPATH");
    // set by `cargo xtask dist`: a released program has libduckdb in its own directory
    let rpath = std::env::var_os("KEARNEY_RPATH").or_else(|| std::env::var_os("DUCKDB_LIB_DIR"));
    if std::env::var_os("CARGO_FEATURE_DUCKDB_BUNDLED").is_none()
        && let Some(rpath) = rpath
    {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", rpath.display());
    }
    let git_sha = first_output_line("git", &["rev-parse", "--short=12", "HEAD"]);
    println!(
        "cargo:rustc-env=KEARNEY_GIT_SHA={}",
        git_sha.as_deref().unwrap_or("unknown")
    );
    // every commit and checkout appends to this file
    if let Some(log) = first_output_line("git", &["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo:rerun-if-changed={log}");
    }
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let version = first_output_line(&rustc, &["--version"]);
    let version = version.as_deref().and_then(|text| text.split(' ').nth(1));
    println!(
        "cargo:rustc-env=KEARNEY_RUSTC={}",
        version.unwrap_or("unknown")
    );
}

/// Returns the first line of a program's output; `None` if it cannot be run or fails.
fn first_output_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next().filter(|line| !line.is_empty())?;
    output.status.success().then(|| line.to_owned())
}
