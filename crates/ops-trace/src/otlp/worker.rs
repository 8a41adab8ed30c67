use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::Thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::export::closing::Closing;
use crate::signals;

/// A signal that is sent from time to time.
pub(crate) trait Source: Send {
    /// Returns the time of the next push.
    fn due(&self) -> Instant;

    /// Sends pending items, or a part of them.
    fn push(&mut self);

    /// Sends everything that is left, after the source stopped accepting items.
    fn push_the_rest(&mut self) {
        self.push();
    }
}

/// The thread that sends the signals.
#[derive(Debug)]
pub(crate) struct Worker {
    thread: Thread,
    done: Mutex<Receiver<()>>,
}

impl Worker {
    pub(crate) fn start(
        sources: Vec<Box<dyn Source>>,
        closing: Arc<Closing>,
    ) -> std::io::Result<Self> {
        let (send, done) = channel();
        let run = move || {
            signals::begin_sending();
            work(sources, &closing);
            let _ = send.send(());
        };
        let thread = std::thread::Builder::new().name("ops-trace-otlp".to_owned());
        let thread = thread.spawn(run)?.thread().clone();
        Ok(Self {
            thread,
            done: Mutex::new(done),
        })
    }

    #[cfg(feature = "otlp-logs")]
    pub(crate) fn thread(&self) -> Thread {
        self.thread.clone()
    }

    pub(crate) fn wake(&self) {
        self.thread.unpark();
    }

    /// Waits for the last push.
    pub(crate) fn wait(&self, budget: Duration) {
        // an error means that the time was up, or that an earlier call has waited
        let _ = self.done.lock().recv_timeout(budget);
    }
}

fn work(mut sources: Vec<Box<dyn Source>>, closing: &Closing) {
    loop {
        // checked before the pushes, so that the last ones include everything
        let is_last = closing.is_closing();
        for source in &mut sources {
            if !is_last && source.due() > Instant::now() {
                continue;
            }
            // a panic would end the thread
            let push = || match is_last {
                true => source.push_the_rest(),
                false => source.push(),
            };
            if catch_unwind(AssertUnwindSafe(push)).is_err() {
                // the panic may come from the subscriber, which may panic again
                let _ = catch_unwind(|| {
                    tracing::error!(target: "ops_trace", "otlp_export_panicked");
                });
            }
        }
        if is_last {
            return;
        }
        if let Some(next) = sources.iter().map(|source| source.due()).min() {
            std::thread::park_timeout(next.saturating_duration_since(Instant::now()));
        }
    }
}
