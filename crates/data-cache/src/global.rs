//! The process-wide cache.

use std::path::PathBuf;
use std::sync::OnceLock;

use crate::cache::Cache;
use crate::error::Error;

static CACHE: OnceLock<Cache> = OnceLock::new();

/// Makes `cache` the one that [`get_cache`] returns.
///
/// # Errors
///
/// If there is one already: the second configuration would silently not hold.
pub fn install(cache: Cache) -> Result<(), Error> {
    CACHE
        .set(cache)
        .map_err(|_| Error::input("a process-wide cache is installed already"))
}

/// The process-wide cache. Without [`install`] the first call opens `$OPS_CACHE_DIR`, else `data/cache`.
///
/// # Errors
///
/// Fails if that directory cannot be used.
pub fn get_cache() -> Result<Cache, Error> {
    if let Some(cache) = CACHE.get() {
        return Ok(cache.clone());
    }
    let dir = std::env::var_os("OPS_CACHE_DIR")
        .filter(|dir| !dir.is_empty())
        .map_or_else(|| "data/cache".into(), PathBuf::from);
    let opened = Cache::open(dir)?;
    Ok(CACHE.get_or_init(|| opened).clone())
}
