use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use parking_lot::Mutex;

/// Function that publishes what is counted elsewhere.
pub(crate) struct Hook {
    publish: Box<dyn Fn() + Send + Sync>,
    running: Mutex<Option<Running>>,
}

/// The call that has not returned.
struct Running {
    /// Start of the run that made it.
    run: Instant,
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

    /// Calls the function for the run that began then; returns false without a call if that of another run has not returned: no run
    /// begins before the one before it has ended or was given up.
    pub(crate) fn run(&self, began: Instant) -> bool {
        let mut running = self.running.lock();
        if let Some(call) = &mut *running {
            let hangs = call.run < began && !std::mem::replace(&mut call.is_told, true);
            drop(running);
            if hangs {
                tracing::warn!(target: "ops_metrics", "before_scrape_hangs");
            }
            return false;
        }
        *running = Some(Running {
            run: began,
            is_told: false,
        });
        drop(running);
        self.call();
        *self.running.lock() = None;
        true
    }

    /// Calls the function, whoever else does.
    pub(crate) fn call(&self) {
        if catch_unwind(AssertUnwindSafe(|| (self.publish)())).is_err() {
            tracing::error!(target: "ops_metrics", "before_scrape_panicked");
        }
    }
}
