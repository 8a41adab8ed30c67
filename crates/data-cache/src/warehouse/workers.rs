//! Threads that own one DuckDB connection each and take jobs from one queue.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::JoinHandle;

use duckdb::Connection;
use parking_lot::Mutex;

use super::settings::Settings;
use crate::error::Error;

type Job = Box<dyn FnOnce(&Connection) + Send>;

/// Dropped, it waits until every connection is closed.
pub(super) struct Workers {
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    pub(super) fn start(
        connections: Vec<Connection>,
        settings: &Arc<Settings>,
    ) -> Result<Self, Error> {
        let (sender, receiver) = channel::<Job>();
        let receiver = Arc::new(Mutex::new(receiver));
        let mut threads = Vec::new();
        for connection in connections {
            let (receiver, settings) = (receiver.clone(), settings.clone());
            let named = std::thread::Builder::new().name("data-cache-duckdb".to_owned());
            let started = named.spawn(move || serve(&connection, &receiver, &settings));
            threads
                .push(started.map_err(|error| {
                    Error::io(format!("cannot start a DuckDB thread: {error}"))
                })?);
        }
        Ok(Self {
            jobs: Some(sender),
            threads,
        })
    }

    /// Waits for a connection, and for `work` on it.
    pub(super) fn on_connection<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let stopped = || Error::engine("the DuckDB threads have stopped");
        let (sender, receiver) = sync_channel(1);
        let job: Job = Box::new(move |connection| {
            let _ = sender.send(work(connection));
        });
        let jobs = self.jobs.as_ref().ok_or_else(stopped)?;
        jobs.send(job).map_err(|_| stopped())?;
        receiver.recv().map_err(|_| stopped())
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.jobs = None;
        let here = std::thread::current().id();
        for thread in self.threads.drain(..) {
            if thread.thread().id() != here {
                let _ = thread.join();
            }
        }
    }
}

fn serve(connection: &Connection, jobs: &Mutex<Receiver<Job>>, settings: &Settings) {
    let mut applied = 0;
    loop {
        let job = jobs.lock().recv();
        let Ok(job) = job else { return };
        applied = settings.apply(connection, applied);
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job(connection)));
        if ran.is_err() {
            tracing::error!(target: "data_cache", "duckdb_job_panicked");
        }
    }
}
