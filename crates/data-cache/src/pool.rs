//! Threads for work that blocks: files, and waiting for an engine. They come when needed and go when idle.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Threads at most; more work waits its turn.
const THREADS: usize = 32;
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
}

impl Pool {
    /// Runs `job` soon. Where no thread can be had, here and now.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) {
        let mut state = self.0.state.lock();
        state.queue.push_back(Box::new(job));
        if state.idle >= state.queue.len() || state.threads >= THREADS {
            drop(state);
            self.0.work.notify_one();
            return;
        }
        state.threads += 1;
        drop(state);
        let shared = self.0.clone();
        let named = std::thread::Builder::new().name("data-cache".to_owned());
        if named.spawn(move || shared.serve()).is_err() {
            self.0.state.lock().threads -= 1;
            self.0.run_one();
        }
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
            if self.run_one() {
                continue;
            }
            let mut state = self.state.lock();
            if !state.queue.is_empty() {
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
