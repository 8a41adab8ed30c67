use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use crate::{Config, Error, Handle, Stats};

const DROP_BUDGET: Duration = Duration::from_secs(2);

/// Guard of running tracing. Keep it until the end; [`shutdown`](Tracer::shutdown) then sends pending spans.
///
/// It derefs to its [`Handle`]. On drop it shuts down with a
/// budget of 2 s, without blocking a thread of an async runtime.
#[must_use = "dropping the tracer shuts down tracing"]
pub struct Tracer {
    handle: Handle,
    stopped: bool,
}

impl Tracer {
    /// Creates a tracer that is not installed for the process, for tests.
    ///
    /// It neither connects nor waits: a collector may come later.
    ///
    /// # Errors
    /// Fails if the endpoint or the ratio is invalid, or if there is no service name.
    pub fn new(config: Config) -> Result<Self, Error> {
        Ok(Self {
            handle: Handle::new(config)?,
            stopped: false,
        })
    }

    /// Returns a handle, which makes spans and may be stored anywhere.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Sends pending spans, the last metrics and pending log lines, for at most this time, and returns the final counts of
    /// spans.
    ///
    /// Works on any runtime, and needs no timer of the runtime. Spans that end from now on are dropped and counted.
    pub async fn shutdown(mut self, budget: Duration) -> Stats {
        let (done, wait) = tokio::sync::oneshot::channel();
        let started = self.stop(budget, move || {
            let _ = done.send(());
        });
        if started {
            drop(wait.await);
        }
        self.handle.stats()
    }

    /// Does what [`shutdown`](Self::shutdown) does, for programs without an async runtime. Blocks.
    pub fn shutdown_blocking(mut self, budget: Duration) -> Stats {
        self.stopped = true;
        self.handle.close(budget);
        self.handle.stop(budget);
        self.handle.stats()
    }

    /// Starts to stop on a separate thread, because stopping blocks.
    fn stop(&mut self, budget: Duration, done: impl FnOnce() + Send + 'static) -> bool {
        self.stopped = true;
        let handle = self.handle();
        handle.close(budget);
        let stop = move || {
            handle.stop(budget);
            done();
        };
        std::thread::Builder::new()
            .name("ops-trace-stop".to_owned())
            .spawn(stop)
            .is_ok()
    }
}

impl Deref for Tracer {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        if self.stopped {
            return;
        }
        let (done, wait) = std::sync::mpsc::channel();
        let started = self.stop(DROP_BUDGET, move || {
            let _ = done.send(());
        });
        if started && tokio::runtime::Handle::try_current().is_err() {
            let _ = wait.recv_timeout(DROP_BUDGET);
        }
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tracer").field(&self.handle).finish()
    }
}
