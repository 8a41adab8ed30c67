//! Threads for work that blocks: files, and waiting for an engine. They come when needed and go when idle.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

/// Threads that work at most; more work waits its turn.
const THREADS: usize = 32;
/// Threads that are lent at most.
const MAX_LENT: usize = 224;
/// A thread without work for this long ends.
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
    /// Threads that wait for something else than processor and disk, and are not counted as working.
    lent: usize,
}

/// A thread that waits, and in whose place another one may work until this is dropped.
pub(crate) struct Lent(Option<Pool>);

impl Lent {
    /// One that is no pool's.
    pub(crate) fn of_nobody() -> Self {
        Self(None)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(pool) = &self.0 {
            pool.0.state.lock().lent -= 1;
        }
    }
}

impl Pool {
    /// Runs `job` soon. Where no thread can be had, here and now.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) {
        let mut state = self.0.state.lock();
        state.queue.push_back(Box::new(job));
        if state.idle >= state.queue.len() || state.threads >= THREADS + state.lent {
            drop(state);
            self.0.work.notify_one();
            return;
        }
        if !self.grow(state) {
            self.0.run_one();
        }
    }

    /// Tells that the calling thread, one of the pool's, is about to wait; `None` if too many do.
    pub(crate) fn lend(&self) -> Option<Lent> {
        let mut state = self.0.state.lock();
        if state.lent >= MAX_LENT {
            return None;
        }
        state.lent += 1;
        if state.queue.len() > state.idle && state.threads < THREADS + state.lent {
            // without another thread the work waits, as it did
            self.grow(state);
        }
        Some(Lent(Some(self.clone())))
    }

    /// Starts one more thread; `false` if none can be had.
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

    /// Waits until nothing is queued and nothing runs, or the time is over; says which.
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
            if state.threads > THREADS + state.lent {
                // those that were lent are back
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
