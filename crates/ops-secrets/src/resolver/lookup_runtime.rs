//! Background thread for network I/O, started by the first lookup that needs it.

use std::thread::{self, JoinHandle};
use std::{io, process};

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Runs lookups on a separate thread.
///
/// A private runtime makes lookups independent of the caller's runtime: sync code,
/// a current-thread test and a multi-thread server all get the same behavior, and
/// a caller that goes away does not cancel a lookup that others wait for.
#[derive(Default)]
pub(crate) struct LookupRuntime(Mutex<Threads>);

#[derive(Default)]
struct Threads {
    running: Option<Running>,
    /// Number of discarded threads.
    discarded: u64,
}

struct Running {
    process: u32,
    handle: Handle,
    thread: JoinHandle<()>,
    _until_dropped: oneshot::Sender<()>,
}

impl LookupRuntime {
    /// Starts a task, on a new thread if there is none, it ended, or it belongs to the
    /// process that this one was forked from. A task that cannot be started is dropped.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let mut threads = self.0.lock();
        let started = match threads.running.take() {
            Some(started) if started.process != process::id() => {
                // its thread and its wakers belong to another process
                std::mem::forget(started);
                start()?
            }
            Some(started) if !started.thread.is_finished() => started,
            _ => start()?,
        };
        started.handle.spawn(task);
        threads.running = Some(started);
        Ok(())
    }

    /// Returns the number of the thread that the next task will run on, for [`discard`](Self::discard).
    pub(crate) fn number(&self) -> u64 {
        self.0.lock().discarded
    }

    /// Discards the stuck thread with this number; the next task starts another. Does
    /// nothing if it was discarded before, because the current thread may well respond.
    pub(crate) fn discard(&self, number: u64) {
        let mut threads = self.0.lock();
        if threads.discarded != number {
            return;
        }
        threads.discarded += 1;
        let discarded = threads.running.take();
        drop(threads);
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
