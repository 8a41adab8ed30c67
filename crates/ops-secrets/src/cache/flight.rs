//! A running lookup and its waiters.

use std::collections::HashMap;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::cache::freshness::LookupResult;
use crate::caught::caught;

/// Running lookup that any number of callers wait for, on any executor or without one.
///
/// Not a tokio channel, because channels take part in tokio's cooperative
/// budget: once that is used up, a blocking wait inside a task would spin.
pub(crate) struct Flight {
    /// Sequence number per secret: a lookup with a higher number started later.
    pub(crate) number: u64,
    /// Process that runs the lookup; a forked child never sees it end.
    process: u32,
    /// Number of the thread that runs the lookup.
    thread: AtomicU64,
    sent: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    outcome: Option<Outcome>,
    /// Keyed by the two addresses of a waker: there may be tens of
    /// thousands of waiters, each of which polls more than once.
    waiting: HashMap<(usize, usize), Waker, foldhash::fast::RandomState>,
}

/// Outcome of a lookup for its waiters.
#[derive(Clone)]
pub(crate) enum Outcome {
    Answered(LookupResult),
    /// The secret was invalidated, or a later lookup completed first: the waiters start over.
    Superseded,
}

impl Flight {
    pub(crate) fn new(number: u64) -> Arc<Self> {
        Arc::new(Self {
            number,
            process: process::id(),
            thread: AtomicU64::new(0),
            sent: AtomicBool::new(false),
            state: Mutex::default(),
        })
    }

    /// Returns whether the lookup runs in this process, not in the one it was forked from.
    pub(crate) fn is_ours(&self) -> bool {
        self.process == process::id()
    }

    /// Records the thread that will run the lookup.
    pub(crate) fn set_thread(&self, number: u64) {
        self.thread.store(number, Ordering::Release);
    }

    pub(crate) fn thread(&self) -> u64 {
        self.thread.load(Ordering::Acquire)
    }

    /// Marks the request as sent: its response may be older than a later caller accepts.
    pub(crate) fn send(&self) {
        self.sent.store(true, Ordering::Release);
    }

    pub(crate) fn is_sent(&self) -> bool {
        self.sent.load(Ordering::Acquire)
    }

    /// Sets the outcome and wakes the waiters. Only the first outcome counts.
    pub(crate) fn land(&self, outcome: Outcome) {
        let waiting = {
            let mut state = self.state.lock();
            state.outcome.get_or_insert(outcome);
            std::mem::take(&mut state.waiting)
        };
        for waker in waiting.into_values() {
            // a waker belongs to a foreign executor; its panic must not keep the other waiters from being woken
            caught(|| waker.wake());
        }
    }

    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let mut state = self.state.lock();
        if let Some(outcome) = &state.outcome {
            return Poll::Ready(outcome.clone());
        }
        // addresses of the clone, which keeps them occupied: those of
        // the original may belong to another task at the next poll
        let waker = cx.waker().clone();
        let key = (
            waker.data().addr(),
            std::ptr::from_ref(waker.vtable()).addr(),
        );
        state.waiting.entry(key).or_insert(waker);
        Poll::Pending
    }

    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().waiting.len()
    }
}
