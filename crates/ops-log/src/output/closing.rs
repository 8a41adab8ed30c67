//! Closing of outputs once the line that they are busy with is written.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Outputs of a pipeline that are being closed.
#[derive(Debug, Default)]
pub(crate) struct Closings {
    open: Mutex<usize>,
    closed: Condvar,
}

/// Output that is being closed.
struct Closing(Arc<Closings>);

impl Closings {
    /// Closes an output on a separate thread. If no thread can be started,
    /// `close` is dropped, and the output ends with its last owner.
    pub(super) fn later(self: &Arc<Self>, close: impl FnOnce() + Send + 'static) {
        *self.open.lock() += 1;
        let closing = Closing(Arc::clone(self));
        let work = move || {
            close();
            drop(closing);
        };
        let thread = thread::Builder::new().name("ops-log-close".to_owned());
        drop(thread.spawn(work));
    }

    /// Waits for all of them; returns `false` on timeout.
    pub(crate) fn wait(&self, budget: Duration) -> bool {
        let mut open = self.open.lock();
        let is_open = |open: &mut usize| *open > 0;
        self.closed.wait_while_for(&mut open, is_open, budget);
        *open == 0
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        *self.0.open.lock() -= 1;
        self.0.closed.notify_all();
    }
}
