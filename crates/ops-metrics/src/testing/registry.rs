use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use parking_lot::{Mutex, RwLock};

use super::{Scoped, Snapshot};
use crate::config::Config;
use crate::error::Error;
use crate::history::sparkline::{self, History};
use crate::install::render_with;
use crate::recorder::Recorder;
use crate::series::family::{Family, State};
use crate::series::guard::Limits;

/// Whether any registry was ever made: without one, the thread is not asked for its own.
static ANY: AtomicBool = AtomicBool::new(false);

thread_local! {
    static CURRENT: Cell<Option<&'static Inner>> = const { Cell::new(None) };
}

/// Metrics apart from those of the process and of other registries, every one of them at 0.
///
/// What is counted inside of [`run`](Self::run) and [`scope`](Self::scope), with the functions of a catalogue or the
/// macros of `metrics`, is counted here. A thread or task that is started inside is not inside: give its future
/// to [`scope`](Self::scope) too. Handles hold for as long as the process, so a registry's memory (some 100 KB) is
/// never freed.
#[derive(Clone, Copy)]
pub struct Registry(&'static Inner);

// a panic inside of a registry leaves atomics and locks that do not poison: it can be read afterwards
impl std::panic::UnwindSafe for Registry {}
impl std::panic::RefUnwindSafe for Registry {}

pub(crate) struct Inner {
    limits: &'static Limits,
    states: RwLock<HashMap<usize, &'static State>>,
    recorder: Recorder,
    foreign: PrometheusHandle,
    pub(crate) history: Mutex<History>,
}

/// The registry that this thread is inside of.
#[inline]
pub(crate) fn current() -> Option<&'static Inner> {
    if ANY.load(Ordering::Relaxed) {
        CURRENT.get()
    } else {
        None
    }
}

impl Registry {
    /// With the default limits.
    pub fn new() -> Self {
        let Ok(registry) = Self::with(&Config::new()) else {
            unreachable!("the default configuration has no limit to refuse")
        };
        registry
    }

    /// With the limits, catalogues and build of a configuration.
    ///
    /// # Errors
    ///
    /// A limit is 0 or of an unknown label.
    pub fn with(config: &Config) -> Result<Self, Error> {
        let (recorder, foreign) = Recorder::new()?;
        let inner = Inner {
            limits: Box::leak(Box::new(Limits::new())),
            states: RwLock::default(),
            recorder,
            foreign,
            history: Mutex::new(History::new()),
        };
        let registry = Self(Box::leak(Box::new(inner)));
        ANY.store(true, Ordering::Relaxed);
        registry.run(|| config.apply(registry.0.limits))?;
        Ok(registry)
    }

    /// Counts here what `work` counts on this thread.
    pub fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        let _before = Restore(CURRENT.replace(Some(self.0)));
        metrics::with_local_recorder(&self.0.recorder, work)
    }

    /// Counts here what `future` counts, whichever thread polls it.
    pub fn scope<F: Future>(&self, future: F) -> Scoped<F> {
        Scoped::new(*self, future)
    }

    /// The text exposition of this registry.
    pub fn render(&self) -> String {
        self.run(|| render_with(&self.0.foreign))
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
    /// If it does not; the message names each difference.
    #[track_caller]
    pub fn assert_changes<T>(&self, changes: &[(&str, f64)], work: impl FnOnce() -> T) -> T {
        let before = self.snapshot();
        let result = self.run(work);
        self.snapshot().assert_since(&before, changes);
        result
    }

    /// One tick of the sparklines; `now` is the time since any fixed moment.
    pub fn tick(&self, now: Duration) {
        self.run(|| sparkline::tick(now));
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

impl Inner {
    pub(crate) fn existing(&self, family: &Family) -> Option<&'static State> {
        self.states.read().get(&address(family)).copied()
    }

    pub(crate) fn state(&self, family: &'static Family) -> &'static State {
        if let Some(state) = self.existing(family) {
            return state;
        }
        let mut states = self.states.write();
        states
            .entry(address(family))
            .or_insert_with(|| Box::leak(Box::new(State::new(self.limits))))
    }
}

/// A family is a static of its own, so its address tells it from all others.
fn address(family: &Family) -> usize {
    std::ptr::from_ref(family).addr()
}

struct Restore(Option<&'static Inner>);

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}
