use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::scrape::preparation::WAIT_MAX;

/// A hook that runs for longer than this is left alone by others: just under what a scrape waits, so that the next scrape does
/// without it.
const HANGS_AFTER: Duration = WAIT_MAX.saturating_sub(Duration::from_millis(100));

/// Function that publishes what is counted elsewhere.
pub(crate) struct Hook {
    publish: Box<dyn Fn() + Send + Sync>,
    running: Mutex<Option<Running>>,
}

/// The first call of those that run.
#[derive(Clone, Copy)]
struct Running {
    since: Instant,
    /// It was logged that it hangs.
    is_told: bool,
}

impl Hook {
    pub(crate) fn new(publish: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            publish: Box::new(publish),
            running: Mutex::new(None),
        }
    }

    /// Calls the function, unless an earlier call hangs.
    pub(crate) fn run(&self) {
        let mut running = self.running.lock();
        let is_first = running.is_none();
        let call = running.get_or_insert_with(Running::now);
        if call.since.elapsed() >= HANGS_AFTER {
            let was_told = std::mem::replace(&mut call.is_told, true);
            drop(running);
            if !was_told {
                tracing::warn!(target: "ops_metrics", "before_scrape_hangs");
            }
            return;
        }
        drop(running);
        if catch_unwind(AssertUnwindSafe(|| (self.publish)())).is_err() {
            tracing::error!(target: "ops_metrics", "before_scrape_panicked");
        }
        if is_first {
            *self.running.lock() = None;
        }
    }
}

impl Running {
    fn now() -> Self {
        Self {
            since: Instant::now(),
            is_told: false,
        }
    }
}
