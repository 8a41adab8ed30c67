use std::fmt;
use std::path::Path;
use std::time::Duration;

use parking_lot::Mutex;

use super::{Scoped, Snapshot};
use crate::config::Config;
use crate::error::Error;
use crate::history::sparkline::{self, History, scoped};
use crate::history::{cgroup, interval, process};
use crate::recorder::Recorder;
use crate::scrape::render::{render_current, render_open_metrics};
use crate::series::scope::{self, Scope};

/// Metrics apart from those of the process and of other registries, every one of them at 0.
///
/// Everything counted inside of [`run`](Self::run) and [`scope`](Self::scope), with the functions of a catalog or the
/// macros of `metrics`, is counted here. A thread or task that is started inside is not inside: give its future
/// to [`scope`](Self::scope) too. Handles hold for as long as the process, so a registry's memory (some 100 KB) is
/// never freed.
#[derive(Clone, Copy)]
pub struct Registry(&'static Inner);

// a panic inside of a registry leaves atomics and locks that do not poison: it can be read afterwards
impl std::panic::UnwindSafe for Registry {}
impl std::panic::RefUnwindSafe for Registry {}

struct Inner {
    scope: Scope,
    history: Mutex<History>,
}

impl Registry {
    /// Creates a registry with the default limits.
    pub fn new() -> Self {
        let Ok(registry) = Self::with(&Config::new()) else {
            unreachable!("the default configuration has no limit to refuse")
        };
        registry
    }

    /// Creates a registry with the limits, catalogs and build of a configuration.
    ///
    /// # Errors
    ///
    /// Fails if a limit is 0 or of an unknown label.
    pub fn with(config: &Config) -> Result<Self, Error> {
        let inner = Inner {
            scope: Scope::new(),
            history: Mutex::new(History::new()),
        };
        let registry = Self(Box::leak(Box::new(inner)));
        registry.run(|| config.apply(&registry.0.scope.limits))?;
        Ok(registry)
    }

    /// Counts here what `work` counts on this thread.
    pub fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        let _history = scoped::enter(&self.0.history);
        let _scope = scope::test::enter(&self.0.scope);
        metrics::with_local_recorder(&Recorder, work)
    }

    /// Counts here what `future` counts, whichever thread polls it.
    pub fn scope<F: Future>(&self, future: F) -> Scoped<F> {
        Scoped::new(*self, future)
    }

    /// The text exposition of this registry.
    pub fn render(&self) -> String {
        self.run(render_current)
    }

    /// The OpenMetrics exposition of this registry, exemplars included.
    pub fn render_open_metrics(&self) -> String {
        self.run(render_open_metrics)
    }

    /// All series and their values.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.render())
    }

    /// The value of one series, as it is rendered: `jobs_total{queue="mail"}`.
    pub fn value(&self, series: &str) -> Option<f64> {
        self.snapshot().value(series)
    }

    /// Asserts that `work` changes these series by these amounts, and nothing else of the metrics that they belong to.
    ///
    /// # Panics
    ///
    /// Panics if it does not; the message names each difference.
    #[track_caller]
    pub fn assert_changes<T>(&self, changes: &[(&str, f64)], work: impl FnOnce() -> T) -> T {
        let before = self.snapshot();
        let result = self.run(work);
        self.snapshot().assert_since(&before, changes);
        result
    }

    /// Reads the control groups that a tree of files shows, with `proc/self/cgroup` and `sys/fs/cgroup` in it.
    pub fn sample_cgroup(&self, root: &Path) {
        self.run(|| cgroup::sample(root));
    }

    /// Reads the process, and its control groups, that a tree of files shows, with `proc` and `sys` in it.
    pub fn sample_process(&self, root: &Path) {
        self.run(|| process::sample(root));
    }

    /// One tick of the sparklines; `now` is the time since any fixed moment.
    pub fn tick(&self, now: Duration) {
        self.run(|| sparkline::tick(now, interval::read_sources()));
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}
