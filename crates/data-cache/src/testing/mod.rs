//! Tools for tests of caches: a clock that they set, steps at which they make a write fail, a directory of their own,
//! and the [`contract`] that every engine keeps.
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

/// The time of day of one cache.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// From now on the cache reads this clock, which stands at `seconds` since 1970.
    pub fn install(cache: &Cache, seconds: u64) -> Self {
        let millis = Arc::new(AtomicU64::new(seconds * 1000));
        cache.inner().set_clock(Clock::Manual(millis.clone()));
        Self(millis)
    }

    /// Lets time pass.
    pub fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds * 1000, Ordering::Relaxed);
    }

    /// Sets the clock, back as well.
    pub fn set(&self, seconds: u64) {
        self.0.store(seconds * 1000, Ordering::Relaxed);
    }
}

/// Calls `hook` at each [`Step`] of this cache; an error of it is one of the file system.
pub fn on_step(cache: &Cache, hook: impl Fn(Step) -> io::Result<()> + Send + Sync + 'static) {
    cache.inner().failpoints().set(hook);
}

/// The next lookup looks at what other processes did, without waiting for the second to pass.
pub fn look_at_other_processes_now(cache: &Cache) {
    cache.inner().look_at_others_now();
}

/// Entries with more data than this go to two files, instead of those with more than 16 KiB.
pub fn set_largest_inline(cache: &Cache, bytes: usize) {
    cache.inner().set_largest_inline(bytes);
}

/// Callers of `get_or_compute` wait for another one's computation for this long, instead of 60 s.
pub fn set_longest_wait(cache: &Cache, limit: std::time::Duration) {
    cache.inner().set_longest_wait(limit);
}

/// Lets time pass for what judges the bucket that machines share: its epoch, leases, and the pause after a failure.
#[cfg(feature = "shared")]
pub fn let_bucket_time_pass(cache: &Cache, time: std::time::Duration) {
    cache.inner().let_bucket_time_pass(time);
}

/// A directory that is deleted with this value.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    /// Makes a new one.
    ///
    /// # Errors
    ///
    /// Fails if the system's directory for temporary files does not allow it.
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
