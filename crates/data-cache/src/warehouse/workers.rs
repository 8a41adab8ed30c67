//! Threads that own one DuckDB connection each and take jobs from one queue.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;

use duckdb::Connection;
use parking_lot::{Condvar, Mutex};

use crate::error::Error;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// Connections with their threads. Dropping it waits until every connection is closed.
pub(super) struct Workers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    /// One per thread; `None` once it is closed.
    connections: Vec<Mutex<Option<Connection>>>,
}

struct Queue {
    jobs: VecDeque<Job>,
    is_closed: bool,
    /// By thread: `true` if its connection takes no more jobs.
    retired: Vec<bool>,
}

impl Workers {
    pub(super) fn start(connections: Vec<Connection>) -> Result<Self, Error> {
        let count = connections.len();
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue {
                jobs: VecDeque::new(),
                is_closed: false,
                retired: vec![false; count],
            }),
            changed: Condvar::new(),
            connections: connections
                .into_iter()
                .map(|connection| Mutex::new(Some(connection)))
                .collect(),
        });
        let mut workers = Self {
            shared: shared.clone(),
            threads: Vec::new(),
        };
        for index in 0..count {
            let shared = shared.clone();
            let named = std::thread::Builder::new().name("data-cache-duckdb".to_owned());
            let started = named.spawn(move || shared.serve(index));
            workers
                .threads
                .push(started.map_err(|error| {
                    Error::io(format!("cannot start a DuckDB thread: {error}"))
                })?);
        }
        Ok(workers)
    }

    /// Waits for a connection, and for `work` on it.
    pub(super) fn on_connection<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let stopped = || Error::engine("no DuckDB connection is left, or the task on it panicked");
        let (sender, receiver) = sync_channel(1);
        let job: Job = Box::new(move |connection| {
            let _ = sender.send(work(connection));
        });
        {
            let mut queue = self.shared.queue.lock();
            if queue.is_closed || queue.retired.iter().all(|retired| *retired) {
                return Err(stopped());
            }
            queue.jobs.push_back(job);
        }
        self.shared.changed.notify_one();
        receiver.recv().map_err(|_| stopped())
    }

    /// Runs `work` on every connection, one after the other, on this thread; waits for the jobs that run on them. An
    /// error on the first connection is returned; a later connection that fails takes no more jobs.
    pub(super) fn on_every_connection(
        &self,
        mut work: impl FnMut(&Connection) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut is_first = true;
        for (index, connection) in self.shared.connections.iter().enumerate() {
            if self.shared.queue.lock().retired[index] {
                continue;
            }
            let connection = connection.lock();
            let Some(connection) = connection.as_ref() else {
                continue;
            };
            match work(connection) {
                Ok(()) => is_first = false,
                Err(error) if is_first => return Err(error),
                Err(error) => {
                    tracing::error!(target: "data_cache", %error, effect = "the connection is no longer used", "duckdb_connection_retired");
                    self.shared.queue.lock().retired[index] = true;
                    self.shared.changed.notify_all();
                }
            }
        }
        Ok(())
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.shared.queue.lock().is_closed = true;
        self.shared.changed.notify_all();
        let here = std::thread::current().id();
        for thread in self.threads.drain(..) {
            if thread.thread().id() != here {
                let _ = thread.join();
            }
        }
    }
}

impl Shared {
    fn serve(&self, index: usize) {
        while let Some(job) = self.next_job(index) {
            let mut connection = self.connections[index].lock();
            let Some(connection) = connection.as_mut() else {
                continue;
            };
            if catch_unwind(AssertUnwindSafe(|| job(connection))).is_err() {
                tracing::error!(target: "data_cache", "duckdb_job_panicked");
            }
        }
        drop(self.connections[index].lock().take());
    }

    /// Waits for a job; `None` once there are no more for this thread.
    fn next_job(&self, index: usize) -> Option<Job> {
        let mut queue = self.queue.lock();
        loop {
            if queue.retired[index] {
                return None;
            }
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            if queue.is_closed {
                return None;
            }
            self.changed.wait(&mut queue);
        }
    }
}
