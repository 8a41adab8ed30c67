use std::io;
use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use crate::glue;

/// Signal to every part of a service that it should stop: raised by SIGTERM, by Ctrl-C, or by [`stop`](Self::stop).
#[derive(Clone, Debug)]
pub struct StopSignal {
    stopping: watch::Sender<bool>,
    number: Arc<OnceLock<i32>>,
}

impl StopSignal {
    /// Listens for SIGTERM and Ctrl-C. A second signal ends the process at once, with exit code 128 plus its number:
    /// 143 for SIGTERM, 130 for Ctrl-C.
    ///
    /// # Errors
    ///
    /// Fails if the operating system does not let the signals be watched.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub fn listen() -> io::Result<Self> {
        let signal = Self::manual();
        let mut signals = Signals::watch()?;
        let listener = signal.clone();
        tokio::spawn(async move {
            let number = signals.next().await;
            if !listener.is_raised() {
                // nobody else sets it
                let _ = listener.number.set(number);
                glue::black_box::stopping(Some(number));
            }
            listener.stop();
            let number = signals.next().await;
            glue::black_box::exiting();
            std::process::exit(128 + number);
        });
        Ok(signal)
    }

    /// Returns a signal that only [`stop`](Self::stop) raises.
    pub fn manual() -> Self {
        Self {
            stopping: watch::Sender::new(false),
            number: Arc::default(),
        }
    }

    /// Raises the signal.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Reports if the signal was raised.
    pub fn is_raised(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Number of the operating system's signal that raised it: 15 for SIGTERM, 2 for Ctrl-C; `None` for
    /// [`stop`](Self::stop), or if it is not raised. A program that ends early because of it exits with 128 plus the number.
    pub fn number(&self) -> Option<i32> {
        self.number.get().copied()
    }

    /// Waits until the signal is raised; returns at once if it was.
    pub async fn wait(&self) {
        let mut stopping = self.stopping.subscribe();
        // the sender lives in self, so that this cannot fail
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }
}

/// Number of SIGINT on every platform.
const SIGINT: i32 = 2;

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn watch() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal and returns its number.
    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.terminate.recv() => tokio::signal::unix::SignalKind::terminate().as_raw_value(),
            _ = self.interrupt.recv() => SIGINT,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn watch() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> i32 {
        // a console that is gone sends no signal
        let _ = tokio::signal::ctrl_c().await;
        SIGINT
    }
}
