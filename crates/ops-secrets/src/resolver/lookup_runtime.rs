//! The one background thread that talks to the network, started by the first lookup that needs it.

use std::thread::{self, JoinHandle};
use std::{io, process};

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Runs lookups on a thread of its own.
///
/// A private runtime makes lookups independent of the caller's: sync code, a current-thread test and a multi-thread
/// server all get the same behavior, and a caller that goes away does not cancel a lookup that others wait for.
#[derive(Default)]
pub(crate) struct LookupRuntime(Mutex<Option<Running>>);

struct Running {
    process: u32,
    handle: Handle,
    thread: JoinHandle<()>,
    _until_dropped: oneshot::Sender<()>,
}

impl LookupRuntime {
    /// Starts a task; on a new thread if there is none, it ended, or it belongs to the process that this one was forked
    /// from. A task that cannot be started is dropped.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let mut running = self.0.lock();
        let started = match running.take() {
            Some(started) if started.process != process::id() => {
                // its thread and its wakers are in another process
                std::mem::forget(started);
                start()?
            }
            Some(started) if !started.thread.is_finished() => started,
            _ => start()?,
        };
        started.handle.spawn(task);
        *running = Some(started);
        Ok(())
    }

    /// Lets go of a thread that does not answer; the next task starts another.
    pub(crate) fn discard(&self) {
        let discarded = self.0.lock().take();
        if let Some(other) = discarded.filter(|running| running.process != process::id()) {
            std::mem::forget(other);
        }
    }
}

fn start() -> io::Result<Running> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let (sender, dropped) = oneshot::channel::<()>();
    let thread = thread::Builder::new()
        .name("ops-secrets".into())
        .spawn(move || {
            // ends with an error when the sender is dropped, which is the signal
            let _ = runtime.block_on(dropped);
        })?;
    Ok(Running {
        process: process::id(),
        handle,
        thread,
        _until_dropped: sender,
    })
}
