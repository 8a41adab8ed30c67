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

/// Metrics separate from those of the process and of other registries, all of them starting at 0.
///
/// Everything counted inside [`run`](Self::run) and [`scope`](Self::scope), with the functions of a
/// catalog or the macros of `metrics`, is counted here. A thread or task that is started inside is
/// not included: pass its future to [`scope`](Self::scope) too. Handles are valid as long as the
/// process, so a registry's memory (about 100 KB) is never freed.
#[derive(Clone, Copy)]
pub struct Registry(&'static Inner);

// a panic inside a registry leaves atomics and locks without poisoning: it can still be read
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
    /// Fails if a limit is 0, or is set for an unknown metric or label, or if
    /// buckets are invalid, or are set for an unknown metric or one that is not a histogram.
    pub fn with(config: &Config) -> Result<Self, Error> {
        let inner = Inner {
            scope: Scope::new(),
            history: Mutex::new(History::new()),
        };
        let registry = Self(Box::leak(Box::new(inner)));
        registry.run(|| config.apply(&registry.0.scope.limits))?;
        Ok(registry)
    }

    /// Runs `work`, and counts in this registry everything that it counts on this thread.
    pub fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        let _history = scoped::enter(&self.0.history);
        let _scope = scope::test::enter(&self.0.scope);
        metrics::with_local_recorder(&Recorder, work)
    }

    /// Runs `future`, and counts in this registry everything that it counts, on any thread.
    pub fn scope<F: Future>(&self, future: F) -> Scoped<F> {
        Scoped::new(*self, future)
    }

    /// Returns the text exposition of this registry.
    pub fn render(&self) -> String {
        self.run(render_current)
    }

    /// Returns the OpenMetrics exposition of this registry, including exemplars.
    pub fn render_open_metrics(&self) -> String {
        self.run(render_open_metrics)
    }

    /// Returns all series and their values.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.render())
    }

    /// Returns the value of one series, named as it is rendered: `jobs_total{queue="mail"}`.
    pub fn value(&self, series: &str) -> Option<f64> {
        self.snapshot().value(series)
    }

    /// Asserts that `work` changes these series by these amounts, and no other series of the same metrics.
    ///
    /// # Panics
    ///
    /// Panics if the changes differ; the message names each difference.
    #[track_caller]
    pub fn assert_changes<T>(&self, changes: &[(&str, f64)], work: impl FnOnce() -> T) -> T {
        let before = self.snapshot();
        let result = self.run(work);
        self.snapshot().assert_since(&before, changes);
        result
    }

    /// Reads the control groups from a tree of files that contains `proc/self/cgroup` and `sys/fs/cgroup`.
    pub fn sample_cgroup(&self, root: &Path) {
        self.run(|| cgroup::sample(root));
    }

    /// Reads the process and its control groups from a tree of files that contains `proc` and `sys`.
    pub fn sample_process(&self, root: &Path) {
        self.run(|| process::sample(root));
    }

    /// Performs one tick of the sparklines; `now` is the time since any fixed moment.
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
