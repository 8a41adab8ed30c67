//! Finds the libduckdb to link, or stops with instructions.
#![expect(clippy::panic, reason = "a build script reports by stopping")]

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-env-changed=DUCKDB_LIB_DIR");
    let has = |feature: &str| std::env::var_os(format!("CARGO_FEATURE_{feature}")).is_some();
    if !has("DUCKDB") || has("DUCKDB_BUNDLED") {
        return;
    }
    let dir = std::env::var_os("DUCKDB_LIB_DIR").unwrap_or_default();
    let found = ["libduckdb.so", "libduckdb.dylib", "duckdb.lib"]
        .iter()
        .any(|name| Path::new(&dir).join(name).exists());
    if dir.is_empty() || !found {
        panic!(
            "feature `duckdb` found no libduckdb in DUCKDB_LIB_DIR ({dir:?}): run `cargo xtask setup` (seconds), \
             or add `--features duckdb-bundled` (about 25 minutes)"
        );
    }
    println!(
        "cargo:rustc-link-arg=-Wl,-rpath,{}",
        Path::new(&dir).display()
    );
}
