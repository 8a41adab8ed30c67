//! Threads for blocking work: files, and waiting for an engine. They are started on demand and end when idle.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

/// Maximum number of working threads; further work is queued.
const THREADS: usize = 32;
/// Maximum number of threads marked as waiting.
const MAX_WAITING: usize = 224;
/// Time without work after which a thread ends.
const IDLE: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

#[derive(Clone, Default)]
pub(crate) struct Pool(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
    done: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    threads: usize,
    idle: usize,
    running: usize,
    /// Threads that wait for something other than CPU and disk; not counted against `THREADS`.
    waiting: usize,
}

/// Marks a pool thread as waiting: until this is dropped, one more thread may work.
pub(crate) struct Waiting(Option<Pool>);

impl Waiting {
    /// Returns a mark that belongs to no pool.
    pub(crate) fn detached() -> Self {
        Self(None)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(pool) = &self.0 {
            pool.0.state.lock().waiting -= 1;
        }
    }
}

impl Pool {
    /// Queues `job`. If no thread can be started, the calling thread runs a queued job.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) {
        let mut state = self.0.state.lock();
        state.queue.push_back(Box::new(job));
        if state.idle >= state.queue.len() || state.threads >= THREADS + state.waiting {
            drop(state);
            self.0.work.notify_one();
            return;
        }
        if !self.grow(state) {
            self.0.run_one();
        }
    }

    /// Marks the calling pool thread as waiting; `None` if [`MAX_WAITING`] threads are marked already.
    pub(crate) fn mark_waiting(&self) -> Option<Waiting> {
        let mut state = self.0.state.lock();
        if state.waiting >= MAX_WAITING {
            return None;
        }
        state.waiting += 1;
        if state.queue.len() > state.idle && state.threads < THREADS + state.waiting {
            // if no thread can be started, the work stays queued as before
            self.grow(state);
        }
        Some(Waiting(Some(self.clone())))
    }

    /// Starts one more thread; returns `false` on failure.
    fn grow(&self, mut state: MutexGuard<'_, State>) -> bool {
        state.threads += 1;
        drop(state);
        let shared = self.0.clone();
        let named = std::thread::Builder::new().name("data-cache".to_owned());
        let is_started = named.spawn(move || shared.serve()).is_ok();
        if !is_started {
            self.0.state.lock().threads -= 1;
        }
        is_started
    }

    /// Waits until nothing is queued or running, or until `deadline`; returns `true` if idle.
    pub(crate) fn wait_idle(&self, deadline: Instant) -> bool {
        let mut state = self.0.state.lock();
        while !state.is_idle() {
            if self.0.done.wait_until(&mut state, deadline).timed_out() {
                return state.is_idle();
            }
        }
        true
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.0.state.lock().is_idle()
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.running == 0 && self.queue.is_empty()
    }
}

impl Shared {
    fn serve(&self) {
        loop {
            let has_run = self.run_one();
            let mut state = self.state.lock();
            if state.threads > THREADS + state.waiting {
                // threads marked as waiting work again
                state.threads -= 1;
                return;
            }
            if has_run || !state.queue.is_empty() {
                continue;
            }
            state.idle += 1;
            let waited = self.work.wait_for(&mut state, IDLE);
            state.idle -= 1;
            if waited.timed_out() && state.queue.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }

    fn run_one(&self) -> bool {
        let job = {
            let mut state = self.state.lock();
            let Some(job) = state.queue.pop_front() else {
                return false;
            };
            state.running += 1;
            job
        };
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!(target: "data_cache", "background_work_panicked");
        }
        self.state.lock().running -= 1;
        self.done.notify_all();
        true
    }
}
