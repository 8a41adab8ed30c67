//! The applied configuration, as seen by threads that log.

use std::cell::Cell;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arc_swap::{ArcSwapOption, Guard};

use crate::Config;
use crate::output::closing::Closings;
use crate::pipeline::active::ActiveConfig;

/// Configuration by which lines are written, until it is replaced.
///
/// Each thread caches the configuration of its last line, so that it does not have to load
/// it. An idle thread may hold it for long, so its outputs are closed when it is replaced.
pub(super) struct Applied {
    config: ArcSwapOption<ActiveConfig>,
    /// Number of the configuration, unique in the process.
    version: AtomicU64,
    closings: LazyLock<Arc<Closings>>,
}

/// Replaced configuration: its outputs are closed once the next one is fully in effect.
#[must_use]
pub(super) struct Replaced(Option<Arc<ActiveConfig>>);

/// Cached configuration, with the version for which it is valid.
struct CachedConfig {
    version: u64,
    config: Arc<ActiveConfig>,
}

thread_local! {
    static CACHED: Cell<Option<CachedConfig>> = const { Cell::new(None) };
}

/// Configuration before the first one is applied: console lines on stdout.
static UNCONFIGURED: LazyLock<Option<Arc<ActiveConfig>>> =
    LazyLock::new(|| ActiveConfig::open(&Config::default()).ok().map(Arc::new));

impl Applied {
    pub(super) const fn new() -> Self {
        Self {
            config: ArcSwapOption::const_empty(),
            version: AtomicU64::new(0),
            closings: LazyLock::new(Arc::default),
        }
    }

    /// Replaces the configuration.
    pub(super) fn replace(&self, config: ActiveConfig) -> Replaced {
        static VERSIONS: AtomicU64 = AtomicU64::new(1);
        let before = self.config.swap(Some(Arc::new(config)));
        let version = VERSIONS.fetch_add(1, Relaxed);
        self.version.store(version, Release);
        Replaced(before)
    }

    /// Closes the outputs of a replaced configuration, if threads may keep it.
    pub(super) fn close(&self, Replaced(config): Replaced) {
        if let Some(config) = config.filter(|config| config.may_be_kept()) {
            config.outputs.close(&self.closings);
        }
    }

    /// Waits for outputs that were busy when they were closed; returns `false` on timeout.
    pub(super) fn wait_for_closings(&self, budget: Duration) -> bool {
        self.closings.wait(budget)
    }

    /// Returns the applied configuration; `None` before the first one.
    pub(super) fn load(&self) -> Guard<Option<Arc<ActiveConfig>>> {
        self.config.load()
    }

    /// Calls `work` with the applied configuration, or with the
    /// default before the first one; `None` if that cannot be opened.
    #[inline(always)]
    pub(super) fn with<R>(&self, work: impl FnOnce(&ActiveConfig) -> R) -> Option<R> {
        let version = self.version.load(Acquire);
        let found = match CACHED.try_with(Cell::take) {
            Ok(Some(cached)) if cached.version == version => Found::Cached(cached),
            _ => self.look_up(version)?,
        };
        let result = work(found.config()?);
        // a configuration that was replaced meanwhile is not cached
        if let Found::Cached(cached) = found
            && self.version.load(Relaxed) == version
        {
            let _ = CACHED.try_with(|slot| slot.set(Some(cached)));
        }
        Some(result)
    }

    #[inline(never)]
    fn look_up(&self, version: u64) -> Option<Found> {
        let loaded = self.config.load();
        let config = loaded.as_ref().or(UNCONFIGURED.as_ref())?;
        if !config.may_be_kept() {
            return Some(Found::Loaded(loaded));
        }
        let config = Arc::clone(config);
        if self.version.load(Acquire) != version {
            // it may have been replaced before it could be closed
            return Some(Found::Loaded(loaded));
        }
        Some(Found::Cached(CachedConfig { version, config }))
    }
}

/// Configuration for one line, and its owner meanwhile.
enum Found {
    Cached(CachedConfig),
    Loaded(Guard<Option<Arc<ActiveConfig>>>),
}

impl Found {
    #[inline(always)]
    fn config(&self) -> Option<&ActiveConfig> {
        match self {
            Self::Cached(cached) => Some(&cached.config),
            Self::Loaded(loaded) => loaded
                .as_ref()
                .or(UNCONFIGURED.as_ref())
                .map(|config| &**config),
        }
    }
}

impl Drop for Applied {
    fn drop(&mut self) {
        let last = Replaced(self.config.swap(None));
        self.close(last);
    }
}
