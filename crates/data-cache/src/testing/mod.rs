//! Tools for tests of caches: a manual clock, failures at steps of
//! a write, a temporary directory, and the [`contract`] of engines.
//!
//! ```
//! use data_cache::{Cache, Params, testing::{ManualClock, TempDir}};
//! # use data_cache::arrow::array::{ArrayRef, Int64Array, RecordBatch};
//! # let column: ArrayRef = std::sync::Arc::new(Int64Array::from(vec![1]));
//! # let batch = RecordBatch::try_from_iter([("n", column)])?;
//! let dir = TempDir::new()?;
//! let cache = Cache::open(dir.path())?;
//! let clock = ManualClock::install(&cache, 1_700_000_000);
//! cache.set("SELECT n FROM t", &[batch], &Params::new(), Some(60))?;
//! clock.advance(59);
//! assert!(cache.get("SELECT n FROM t", &Params::new()).is_some());
//! clock.advance(1);
//! assert!(cache.get("SELECT n FROM t", &Params::new()).is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod contract;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cache::Cache;
use crate::clock::Clock;
pub use crate::failpoint::Step;

/// Wall clock of one cache.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// Makes the cache use this clock, set to `seconds` since 1970.
    pub fn install(cache: &Cache, seconds: u64) -> Self {
        let millis = Arc::new(AtomicU64::new(seconds * 1000));
        cache.inner().set_clock(Clock::Manual(millis.clone()));
        Self(millis)
    }

    /// Advances the clock.
    pub fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds * 1000, Ordering::Relaxed);
    }

    /// Sets the clock, forward or backward.
    pub fn set(&self, seconds: u64) {
        self.0.store(seconds * 1000, Ordering::Relaxed);
    }
}

/// Calls `hook` at each [`Step`] of this cache; an error that it returns counts as one of the file system.
pub fn on_step(cache: &Cache, hook: impl Fn(Step) -> io::Result<()> + Send + Sync + 'static) {
    cache.inner().failpoints().set(hook);
}

/// Makes the next lookup check for changes by other processes, without waiting for the second to pass.
pub fn look_at_other_processes_now(cache: &Cache) {
    cache.inner().look_at_others_now();
}

/// Sets the size in bytes above which the data of an entry goes to a second file, instead of 16 KiB.
pub fn set_largest_inline(cache: &Cache, bytes: usize) {
    cache.inner().set_largest_inline(bytes);
}

/// Sets how long callers of `get_or_compute` wait for another caller's computation, instead of 60 s.
pub fn set_longest_wait(cache: &Cache, limit: std::time::Duration) {
    cache.inner().set_longest_wait(limit);
}

/// Advances the clock for the epoch and the leases of the shared bucket, and for the pause after a failure.
#[cfg(feature = "shared")]
pub fn let_bucket_time_pass(cache: &Cache, time: std::time::Duration) {
    cache.inner().let_bucket_time_pass(time);
}

/// A directory that is deleted when this value is dropped.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    /// Creates a new directory.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be created in the system's directory for temporary files.
    pub fn new() -> io::Result<Self> {
        let name = format!("data-cache-{}", crate::disk::unique_id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }

    /// Path of the directory.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
