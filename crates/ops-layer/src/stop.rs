use std::io;

use tokio::sync::watch;

/// Tells every part of a service that it should stop: on SIGTERM, on Ctrl-C, or when asked.
#[derive(Clone, Debug)]
pub struct StopSignal {
    stopping: watch::Sender<bool>,
}

impl StopSignal {
    /// Listens for SIGTERM and Ctrl-C. A second signal ends the process at once, with exit code 130.
    ///
    /// # Errors
    ///
    /// If the operating system does not let the signals be watched.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn listen() -> io::Result<Self> {
        let signal = Self::manual();
        let mut signals = Signals::watch()?;
        let listener = signal.clone();
        tokio::spawn(async move {
            signals.next().await;
            listener.stop();
            signals.next().await;
            std::process::exit(130);
        });
        Ok(signal)
    }

    /// One that only [`stop`](Self::stop) raises.
    pub fn manual() -> Self {
        Self {
            stopping: watch::Sender::new(false),
        }
    }

    /// Raises it.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Waits until it is raised; at once if it was.
    pub async fn wait(&self) {
        let mut stopping = self.stopping.subscribe();
        // the sender lives in self, so that this cannot fail
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }
}

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

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
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

    async fn next(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
