use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::builtin::ScrapeFailure;
use crate::scrape::render::{publish, run_hooks};

/// Scrapes that may wait at the same time for what is published before them; the next one is refused.
const SCRAPES_MAX: usize = 5;
/// A scrape waits no longer than this: Prometheus itself gives up after 10 seconds.
const WAIT_MAX: Duration = Duration::from_secs(2);
static WAITING: AtomicUsize = AtomicUsize::new(0);
static SHARED: Shared = Shared {
    state: Mutex::new(State {
        running: false,
        done: None,
    }),
    changed: Condvar::new(),
};

/// Publishes values that are counted elsewhere, at one time for all scrapes that came before.
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    running: bool,
    done: Option<(Instant, Result<(), ScrapeFailure>)>,
}

/// A scrape that was let in.
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
            Err(ScrapeFailure::Busy) // what is not handed out gives its place back
        }
    }

    /// Waits until everything is published that happened before this scrape arrived. Blocks the thread.
    pub(crate) fn wait(self) -> Result<(), ScrapeFailure> {
        let deadline = self.arrived + WAIT_MAX;
        let mut state = SHARED.state.lock();
        loop {
            if let Some((began, outcome)) = state.done
                && began >= self.arrived
            {
                return outcome;
            }
            if !state.running {
                // on a thread of its own: a hook that hangs keeps no scrape from its answer
                let thread = std::thread::Builder::new().name("ops-metrics-render".into());
                if thread.spawn(run).is_err() {
                    return Err(ScrapeFailure::Thread);
                }
                state.running = true;
            }
            if SHARED.changed.wait_until(&mut state, deadline).timed_out() {
                return Err(ScrapeFailure::Timeout);
            }
        }
    }
}

impl Drop for Scrape {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

fn run() {
    let began = Instant::now();
    let outcome = std::panic::catch_unwind(|| {
        run_hooks();
        publish();
    });
    let mut state = SHARED.state.lock();
    state.running = false;
    state.done = Some((began, outcome.map_err(|_| ScrapeFailure::Panic)));
    SHARED.changed.notify_all();
}
