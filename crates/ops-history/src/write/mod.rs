//! Writing: a queue that does not block callers, a thread that writes files, and a thread that merges and removes them.

mod batch;
mod flusher;
mod line;
mod queue;
mod record;
mod stats;
mod upkeep;
mod values;

use std::collections::hash_map::RandomState;
use std::fmt;
use std::fs::File;
use std::hash::BuildHasher;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

pub use record::{Sample, SampleValue, Span};
pub use stats::{Counts, Stats};

use crate::config::Config;
use crate::error::Error;
use crate::file::directory::{is_held, list, lock, next_run, remove_drafts, restore};
use batch::Run;
use flusher::Flusher;
use queue::Queue;
use record::{Record, micros};
use stats::SharedStats;
use upkeep::{Tidier, Upkeep};

/// A history that this process writes. Cheap to clone.
#[derive(Clone)]
pub struct History {
    shared: Arc<Shared>,
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

struct Shared {
    config: Config,
    queue: Queue,
    stats: SharedStats,
    upkeep: Upkeep,
    /// Lock of the directory, held until the history is closed.
    lock: Mutex<File>,
}

impl Shared {
    /// Recreates the directory if it was removed, and then returns the number after those of other runs in it. Fails if
    /// another process has locked it since.
    fn keep_directory(&self, instance: u64) -> Result<Option<u64>, Error> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        restore(&self.config.dir, &mut lock, instance)
    }

    /// Returns `true` while this process holds the lock of the directory.
    fn has_directory(&self) -> bool {
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        is_held(&self.config.dir, &lock)
    }
}

impl History {
    /// Locks the directory until [`close`](Self::close), and starts the two threads that write.
    ///
    /// Blocks for up to a second while another process holds the lock of the directory, which may be about to end.
    ///
    /// # Errors
    ///
    /// Fails if the directory cannot be created or listed, another process writes to it, or a thread cannot be started.
    pub fn open(config: Config) -> Result<Self, Error> {
        let lock = lock(&config.dir)?;
        remove_drafts(&config.dir);
        let number = next_run(&list(&config.dir)?);
        let instance = RandomState::new().hash_one((number, SystemTime::now()));
        let run = Run::new(number, instance, &config.service);
        let shared = Arc::new(Shared {
            config,
            queue: Queue::new(),
            stats: SharedStats::default(),
            upkeep: Upkeep::default(),
            lock: Mutex::new(lock),
        });
        shared.stats.update(|stats| stats.run = number);
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name(name.to_owned());
            let failed = |error| Error::io(&shared.config.dir, "start a background thread", error);
            thread.spawn(work).map_err(failed)
        };
        let flusher = Flusher::new(shared.clone(), run);
        let tidier = Tidier::new(shared.clone());
        let threads = vec![
            spawn("ops-history", Box::new(move || flusher.run()))?,
            spawn("ops-history-tidy", Box::new(move || tidier.run()))?,
        ];
        Ok(Self {
            threads: Arc::new(Mutex::new(threads)),
            shared,
        })
    }

    /// Offers a JSON line, from which secrets are already removed.
    pub fn line(&self, at: SystemTime, json: &[u8]) {
        self.shared.queue.line(micros(at), json);
    }

    /// Offers a completed span.
    pub fn span(&self, span: Span) {
        self.shared.queue.span(span);
    }

    /// Offers a sample of a metric.
    pub fn sample(&self, sample: Sample) {
        self.shared.queue.record(Record::Sample(sample));
    }

    /// Waits up to `budget` until every record offered before is written or dropped; returns `false` on timeout.
    pub fn flush(&self, budget: Duration) -> bool {
        let number = self.shared.queue.request_flush(false);
        self.shared.stats.wait(number, budget)
    }

    /// Closes the history within `budget`: waiting records are written, later ones are dropped. Returns `false` on
    /// timeout; even then no partial file remains.
    pub fn close(&self, budget: Duration) -> bool {
        let number = self.shared.queue.request_flush(true);
        let is_written = self.shared.stats.wait(number, budget);
        self.shared
            .upkeep
            .stop
            .store(true, std::sync::atomic::Ordering::Relaxed);
        self.shared.upkeep.wake();
        if is_written {
            let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
            for thread in threads.drain(..) {
                // a panic of the thread is logged already
                let _ = thread.join();
            }
            let lock = self
                .shared
                .lock
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            // released at the latest when the process ends
            let _ = lock.unlock();
        }
        is_written
    }

    /// Returns the current statistics.
    pub fn stats(&self) -> Stats {
        self.shared.stats.snapshot(|| self.shared.queue.offered())
    }

    /// Returns the number of this run in its directory, starting at 1. It changes if the directory was removed and
    /// another process has written a run to it since.
    pub fn run(&self) -> u64 {
        self.shared.stats.run()
    }

    /// Returns the directory.
    pub fn dir(&self) -> &Path {
        &self.shared.config.dir
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History")
            .field("dir", &self.shared.config.dir)
            .field("run", &self.run())
            .finish_non_exhaustive()
    }
}
