use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use parking_lot::Mutex;

/// Function that publishes values counted elsewhere.
pub(crate) struct Hook {
    publish: Box<dyn Fn() + Send + Sync>,
    running: Mutex<Option<Running>>,
}

/// A call that has not returned.
struct Running {
    /// Start of the run that made the call.
    run: Instant,
    /// True if the hang was logged.
    hang_logged: bool,
}

impl Hook {
    pub(crate) fn new(publish: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            publish: Box::new(publish),
            running: Mutex::new(None),
        }
    }

    /// Calls the function for the run that began at `began`. Returns false, without a call, if the call of another run
    /// has not returned: no run begins before the previous one has ended or was abandoned.
    pub(crate) fn run(&self, began: Instant) -> bool {
        let mut running = self.running.lock();
        if let Some(call) = &mut *running {
            let hangs = call.run < began && !std::mem::replace(&mut call.hang_logged, true);
            drop(running);
            if hangs {
                tracing::warn!(target: "ops_metrics", "before_scrape_hangs");
            }
            return false;
        }
        *running = Some(Running {
            run: began,
            hang_logged: false,
        });
        drop(running);
        self.call();
        *self.running.lock() = None;
        true
    }

    /// Calls the function, even if another call is active.
    pub(crate) fn call(&self) {
        if catch_unwind(AssertUnwindSafe(|| (self.publish)())).is_err() {
            tracing::error!(target: "ops_metrics", "before_scrape_panicked");
        }
    }
}
