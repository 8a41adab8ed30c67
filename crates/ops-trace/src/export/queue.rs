use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry::Context;
use parking_lot::{Condvar, Mutex};

use crate::brief::Batch;

/// Queue of ended spans, and the thread that exports them: as soon as a batch is full, at an interval, and on request.
///
/// The queue has no limit: its callers limit the number of waiting spans.
#[derive(Debug)]
pub(crate) struct Queue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Signals to the thread that there is work.
    wake: Condvar,
    /// Signals that the thread has finished some work.
    done: Condvar,
    batch_spans: usize,
    interval: Duration,
}

#[derive(Debug, Default)]
struct State {
    waiting: Batch,
    /// Exports that were requested, and those of them that ended.
    requested: u64,
    completed: u64,
    is_closed: bool,
    has_ended: bool,
}

impl Queue {
    /// Starts the thread, which exports all waiting spans with this function, at the latest when `batch_spans` are
    /// waiting. A panic of the function would end the thread.
    pub(crate) fn start(
        batch_spans: usize,
        interval: Duration,
        export: impl FnMut(&mut Batch) + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            wake: Condvar::new(),
            done: Condvar::new(),
            batch_spans,
            interval,
        });
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("ops-trace-spans".to_owned());
        thread.spawn(move || for_thread.work(export))?;
        Ok(Self(shared))
    }

    /// Adds a span.
    pub(crate) fn add(&self, add: impl FnOnce(&mut Batch)) {
        let mut state = self.0.state.lock();
        if state.has_ended {
            return;
        }
        add(&mut state.waiting);
        // while the thread works it notices further spans without a signal
        let is_due = state.waiting.len() == self.0.batch_spans;
        drop(state);
        if is_due {
            self.0.wake.notify_one();
        }
    }

    /// Exports all waiting spans, and returns true if that was done in time.
    pub(crate) fn flush(&self, within: Duration) -> bool {
        let mut state = self.0.state.lock();
        state.requested += 1;
        let ticket = state.requested;
        self.0.wake.notify_one();
        let goes_on = |state: &mut State| state.completed < ticket && !state.has_ended;
        let waited = self.0.done.wait_while_for(&mut state, goes_on, within);
        !waited.timed_out()
    }

    /// Exports all waiting spans and ends the thread. Waits at most this long for it.
    pub(crate) fn close(&self, within: Duration) {
        let mut state = self.0.state.lock();
        state.is_closed = true;
        self.0.wake.notify_one();
        let goes_on = |state: &mut State| !state.has_ended;
        self.0.done.wait_while_for(&mut state, goes_on, within);
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.close(Duration::ZERO);
    }
}

impl Shared {
    fn work(&self, mut export: impl FnMut(&mut Batch)) {
        // suppressed, so that the HTTP client creates no spans here
        let _suppressed = Context::enter_telemetry_suppressed_scope();
        let mut batch = Batch::default();
        let mut last = Instant::now();
        loop {
            let mut state = self.state.lock();
            let rests = |state: &mut State| {
                let is_requested = state.is_closed || state.requested > state.completed;
                !is_requested && state.waiting.len() < self.batch_spans
            };
            let pause = self.interval.saturating_sub(last.elapsed());
            self.wake.wait_while_for(&mut state, rests, pause);
            std::mem::swap(&mut state.waiting, &mut batch);
            let (requested, is_last) = (state.requested, state.is_closed);
            drop(state);
            last = Instant::now();
            if !batch.is_empty() {
                export(&mut batch);
                batch.clear();
            }
            let mut state = self.state.lock();
            state.completed = requested;
            state.has_ended = is_last && state.waiting.is_empty();
            let has_ended = state.has_ended;
            drop(state);
            self.done.notify_all();
            if has_ended {
                return;
            }
        }
    }
}
