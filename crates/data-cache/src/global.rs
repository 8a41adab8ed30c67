//! The process-wide cache.

use std::sync::OnceLock;

use crate::cache::Cache;
use crate::error::Error;

static CACHE: OnceLock<Cache> = OnceLock::new();

/// Makes `cache` the one that [`get_cache`] returns; an error if there is one already.
pub fn install(cache: Cache) -> Result<(), Error> {
    CACHE
        .set(cache)
        .map_err(|_| Error::input("a process-wide cache is installed already"))
}

/// The process-wide cache; without [`install`] the first call opens `data/cache`.
pub fn get_cache() -> Result<Cache, Error> {
    if let Some(cache) = CACHE.get() {
        return Ok(cache.clone());
    }
    let opened = Cache::open("data/cache")?;
    Ok(CACHE.get_or_init(|| opened).clone())
}
