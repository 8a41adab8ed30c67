//! One lookup under way, and those who wait for it.

use std::collections::HashMap;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::cache::freshness::LookupResult;
use crate::caught::caught;

/// One lookup under way that any number of callers wait for, on any executor or on none.
///
/// Hand-made instead of a tokio channel because those take part in tokio's cooperative budget: a blocking wait inside
/// a task would spin once that is used up.
pub(crate) struct Flight {
    /// Counts up per secret: a lookup with a greater number began later.
    pub(crate) number: u64,
    /// Process that runs it; a forked child never sees it end.
    process: u32,
    /// Number of the thread that runs it.
    thread: AtomicU64,
    sent: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    outcome: Option<Outcome>,
    /// By the addresses that make a waker: there may be tens of thousands, each of which asks more than once.
    waiting: HashMap<(usize, usize), Waker, foldhash::fast::RandomState>,
}

/// End of a lookup, as its waiters see it.
#[derive(Clone)]
pub(crate) enum Outcome {
    Answered(LookupResult),
    /// The secret was invalidated, or a later lookup was faster: the waiters start over.
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

    /// Returns whether this process runs the lookup, and not the one that it was forked from.
    pub(crate) fn is_ours(&self) -> bool {
        self.process == process::id()
    }

    /// Notes the thread that is to run it.
    pub(crate) fn set_thread(&self, number: u64) {
        self.thread.store(number, Ordering::Release);
    }

    pub(crate) fn thread(&self) -> u64 {
        self.thread.load(Ordering::Acquire)
    }

    /// Marks the request as sent: its answer may be older than what a later caller asks for.
    pub(crate) fn send(&self) {
        self.sent.store(true, Ordering::Release);
    }

    pub(crate) fn is_sent(&self) -> bool {
        self.sent.load(Ordering::Acquire)
    }

    /// Wakes the waiters. The first outcome counts.
    pub(crate) fn land(&self, outcome: Outcome) {
        let waiting = {
            let mut state = self.state.lock();
            state.outcome.get_or_insert(outcome);
            std::mem::take(&mut state.waiting)
        };
        for waker in waiting.into_values() {
            // a waker belongs to somebody's executor; its panic must not cost the others their answer
            caught(|| waker.wake());
        }
    }

    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let mut state = self.state.lock();
        if let Some(outcome) = &state.outcome {
            return Poll::Ready(outcome.clone());
        }
        // of the clone, which holds on to them: those of the waker itself may be another task's the next time
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
