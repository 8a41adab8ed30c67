//! The configuration that is applied, as threads that log find it.

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

/// The configuration that lines are written by, until it is replaced.
///
/// Each thread keeps the one that it wrote its last line by, so that it need not ask for it. An idle thread may keep it for long:
/// for its output to end all the same, who replaces it closes that.
pub(super) struct Applied {
    config: ArcSwapOption<ActiveConfig>,
    /// Number of the configuration; each of the process has one of its own.
    version: AtomicU64,
    closings: LazyLock<Arc<Closings>>,
}

/// A configuration that was replaced: its output is closed when the next one holds in all its parts.
#[must_use]
pub(super) struct Replaced(Option<Arc<ActiveConfig>>);

/// A configuration that was applied when its state had this version.
struct Kept {
    version: u64,
    config: Arc<ActiveConfig>,
}

thread_local! {
    static KEPT: Cell<Option<Kept>> = const { Cell::new(None) };
}

/// Before any is applied: lines for people on stdout.
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

    /// Puts this one in the place of the one before.
    pub(super) fn replace(&self, config: ActiveConfig) -> Replaced {
        static VERSIONS: AtomicU64 = AtomicU64::new(1);
        let before = self.config.swap(Some(Arc::new(config)));
        let version = VERSIONS.fetch_add(1, Relaxed);
        self.version.store(version, Release);
        Replaced(before)
    }

    /// Closes the output of one that was replaced, if threads may keep it.
    pub(super) fn close(&self, Replaced(config): Replaced) {
        if let Some(config) = config.filter(|config| config.may_be_kept()) {
            config.outputs.close(&self.closings);
        }
    }

    /// Waits for outputs that were busy when they were closed; false on timeout.
    pub(super) fn wait_for_closings(&self, budget: Duration) -> bool {
        self.closings.wait(budget)
    }

    /// The one that was applied; `None` before any was.
    pub(super) fn load(&self) -> Guard<Option<Arc<ActiveConfig>>> {
        self.config.load()
    }

    /// Works with the one that is applied, or with that of a process that has none; `None` where that cannot be opened.
    #[inline(always)]
    pub(super) fn with<R>(&self, work: impl FnOnce(&ActiveConfig) -> R) -> Option<R> {
        let version = self.version.load(Acquire);
        let found = match KEPT.try_with(Cell::take) {
            Ok(Some(kept)) if kept.version == version => Found::Kept(kept),
            _ => self.look_up(version)?,
        };
        let result = work(found.config()?);
        // what was replaced meanwhile is not kept
        if let Found::Kept(kept) = found
            && self.version.load(Relaxed) == version
        {
            let _ = KEPT.try_with(|slot| slot.set(Some(kept)));
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
        Some(Found::Kept(Kept { version, config }))
    }
}

/// The configuration of a line, and what holds it meanwhile.
enum Found {
    Kept(Kept),
    Loaded(Guard<Option<Arc<ActiveConfig>>>),
}

impl Found {
    #[inline(always)]
    fn config(&self) -> Option<&ActiveConfig> {
        match self {
            Self::Kept(kept) => Some(&kept.config),
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
