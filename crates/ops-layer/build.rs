//! Lets binaries, tests and examples find the libduckdb that they were linked with.

fn main() {
    println!("cargo:rerun-if-env-changed=DUCKDB_LIB_DIR");
    if std::env::var_os("CARGO_FEATURE_DUCKDB_BUNDLED").is_none()
        && let Some(dir) = std::env::var_os("DUCKDB_LIB_DIR")
    {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", dir.display());
    }
}
