//! The process-wide cache.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::OnceLock;

use crate::cache::Cache;
use crate::config::Config;
use crate::error::Error;

static CACHE: OnceLock<Cache> = OnceLock::new();

/// Opens a cache in `$OPS_CACHE_DIR` (default `data/cache`) and makes it the one that [`get_cache`] returns.
///
/// # Errors
///
/// Fails if a setting is invalid, the directory cannot be used, or
/// a process-wide cache exists already, which remains installed.
pub fn init(config: &Config) -> Result<Cache, Error> {
    if CACHE.get().is_some() {
        return Err(already());
    }
    let cache = Cache::open_with(directory(), config)?;
    install(cache.clone())?;
    Ok(cache)
}

/// Installs `cache` as the one that [`get_cache`] returns.
///
/// # Errors
///
/// Fails if a process-wide cache exists already; it remains installed.
pub fn install(cache: Cache) -> Result<(), Error> {
    CACHE.set(cache).map_err(|_| already())
}

fn already() -> Error {
    Error::input("a process-wide cache is already installed")
}

fn directory() -> PathBuf {
    let is_named = |dir: &OsString| !dir.to_string_lossy().trim().is_empty();
    let named = std::env::var_os("OPS_CACHE_DIR").filter(is_named);
    named.map_or_else(|| "data/cache".into(), PathBuf::from)
}

/// Returns the process-wide cache. Without [`init`] or [`install`],
/// the first call opens `$OPS_CACHE_DIR` (default `data/cache`).
///
/// # Errors
///
/// Fails if that directory cannot be used.
pub fn get_cache() -> Result<Cache, Error> {
    if let Some(cache) = CACHE.get() {
        return Ok(cache.clone());
    }
    let opened = Cache::open(directory())?;
    Ok(CACHE.get_or_init(|| opened).clone())
}
