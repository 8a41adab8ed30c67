//! Adds the directory of libduckdb to the rpath of the tests.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-env-changed=DUCKDB_LIB_DIR");
    let has_sql = std::env::var_os("CARGO_FEATURE_SQL").is_some();
    if has_sql && let Some(dir) = std::env::var_os("DUCKDB_LIB_DIR") {
        println!(
            "cargo:rustc-link-arg=-Wl,-rpath,{}",
            Path::new(&dir).display()
        );
    }
}
