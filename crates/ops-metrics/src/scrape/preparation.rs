use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::builtin::{ScrapeFailure, ops_metrics_scrape_failures_total};
use crate::history::panics;
use crate::scrape::render::{call_hooks, has_hooks, publish, run_hooks};
use crate::series::scope::Scope;

/// Maximum number of scrapes that wait at the same time for published values; the next one is refused.
const SCRAPES_MAX: usize = 5;
/// Maximum time that a scrape waits: Prometheus itself times out after 10 seconds.
const WAIT_MAX: Duration = Duration::from_secs(2);
static WAITING: AtomicUsize = AtomicUsize::new(0);
static SHARED: Shared = Shared {
    state: Mutex::new(State {
        running: None,
        done: None,
        is_slow: false,
    }),
    changed: Condvar::new(),
};

/// Publication of values that are counted elsewhere: one run serves all scrapes that arrived before it.
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Start of the active run; the latest one, if an earlier run hangs.
    running: Option<Instant>,
    done: Option<(Instant, Result<(), ScrapeFailure>)>,
    /// True if the run that ended last took longer than [`WAIT_MAX`].
    is_slow: bool,
}

/// Publishes everything, and blocks the thread for at most [`WAIT_MAX`]; then the values published so far are used.
pub(crate) fn prepare() {
    if Scope::is_of_test() || !has_hooks() {
        call_hooks();
        publish();
        return;
    }
    // not counted as a scrape, which could cause others to be refused: its thread already exists
    if let Err(failure) = published_since(Instant::now()) {
        ops_metrics_scrape_failures_total(failure).inc();
    }
}

/// A scrape that was admitted.
pub(crate) struct Scrape {
    arrived: Instant,
}

impl Scrape {
    pub(crate) fn begin() -> Result<Self, ScrapeFailure> {
        let before = WAITING.fetch_add(1, Ordering::Relaxed);
        let scrape = Self {
            arrived: Instant::now(),
        };
        if before < SCRAPES_MAX {
            Ok(scrape)
        } else {
            Err(ScrapeFailure::Busy) // dropped here, which frees its place
        }
    }

    /// Waits until everything that happened before this scrape
    /// arrived is published, as [`prepare`] does. Blocks the thread.
    pub(crate) fn wait(self) -> Result<(), ScrapeFailure> {
        published_since(self.arrived)
    }
}

impl Drop for Scrape {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Waits as [`wait_since`] does; if that fails, publishes everything except the values of the hooks.
fn published_since(arrived: Instant) -> Result<(), ScrapeFailure> {
    let outcome = wait_since(arrived);
    if let Err(ScrapeFailure::Timeout | ScrapeFailure::Thread) = outcome {
        panics::publish();
        publish();
    }
    outcome
}

/// Waits until everything that happened before `arrived` is published, at most until [`WAIT_MAX`] after it.
fn wait_since(arrived: Instant) -> Result<(), ScrapeFailure> {
    let deadline = arrived + WAIT_MAX;
    let mut state = SHARED.state.lock();
    loop {
        if let Some((began, outcome)) = state.done
            && began >= arrived
        {
            return outcome;
        }
        // a run that hangs is abandoned, and the next one skips the hook
        let given_up_at = match state.running.map(|since| since + WAIT_MAX) {
            Some(at) if at > Instant::now() => at,
            _ => {
                let began = Instant::now();
                // on a separate thread, so that a hanging hook blocks no response
                let thread = std::thread::Builder::new().name("ops-metrics-render".into());
                if thread.spawn(move || run(began)).is_err() {
                    return Err(ScrapeFailure::Thread);
                }
                state.running = Some(began);
                began + WAIT_MAX
            }
        };
        let until = deadline.min(given_up_at);
        let waited = SHARED.changed.wait_until(&mut state, until);
        if waited.timed_out() && Instant::now() >= deadline {
            return Err(ScrapeFailure::Timeout);
        }
    }
}

fn run(began: Instant) {
    let outcome = std::panic::catch_unwind(|| {
        let is_complete = run_hooks(began);
        publish();
        is_complete
    });
    let outcome = match outcome {
        Ok(true) => Ok(()),
        Ok(false) => Err(ScrapeFailure::Hook),
        Err(_) => Err(ScrapeFailure::Panic),
    };
    let took = began.elapsed();
    let is_slow = took > WAIT_MAX;
    let mut state = SHARED.state.lock();
    let was_slow = std::mem::replace(&mut state.is_slow, is_slow);
    // an abandoned run is out of date
    if state.running == Some(began) {
        state.running = None;
        state.done = Some((began, outcome));
        SHARED.changed.notify_all();
    }
    drop(state);
    if is_slow && !was_slow {
        let seconds = took.as_secs_f64();
        tracing::warn!(target: "ops_metrics", seconds, "before_scrape_slow");
    }
}
