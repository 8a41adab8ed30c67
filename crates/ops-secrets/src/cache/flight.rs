use std::panic::{self, AssertUnwindSafe};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use parking_lot::Mutex;
use tokio::runtime::{Handle, RuntimeFlavor};

/// One lookup under way that any number of callers wait for, on any executor or on none.
///
/// Hand-made instead of a tokio channel because those take part in tokio's cooperative budget: a blocking wait inside
/// a task would spin once that is used up.
pub(crate) struct Flight<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    outcome: Option<T>,
    waiting: Vec<Waker>,
}

impl<T: Clone> Flight<T> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                outcome: None,
                waiting: Vec::new(),
            }),
        })
    }

    /// The first outcome counts.
    pub(crate) fn land(&self, outcome: T) {
        let waiting = {
            let mut state = self.state.lock();
            state.outcome.get_or_insert(outcome);
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<T> {
        let mut state = self.state.lock();
        if let Some(outcome) = &state.outcome {
            return Poll::Ready(outcome.clone());
        }
        if !state
            .waiting
            .iter()
            .any(|waker| waker.will_wake(cx.waker()))
        {
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    #[cfg_attr(
        not(feature = "testing"),
        expect(dead_code, reason = "read by the feature `testing`")
    )]
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().waiting.len()
    }
}

/// Runs a future that needs no runtime to its end on this thread.
///
/// On a worker of a multi-thread runtime, the worker's other tasks go to another thread for as long as this one waits.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = Some(future);
    if is_on_a_worker() {
        let wait = || tokio::task::block_in_place(|| future.take().map(park_until));
        // a `LocalSet` on a multi-thread runtime refuses, by a panic and before it runs anything: then it stands still
        match panic::catch_unwind(AssertUnwindSafe(wait)) {
            Ok(Some(output)) => return output,
            Err(panic) if future.is_none() => panic::resume_unwind(panic),
            Ok(None) | Err(_) => {}
        }
    }
    match future {
        Some(future) => park_until(future),
        None => unreachable!("a future that was taken has returned or panicked"),
    }
}

/// The thread that called `block_on` of a runtime is none, and runs no task but that one.
fn is_on_a_worker() -> bool {
    let flavor = Handle::try_current().map(|runtime| runtime.runtime_flavor());
    matches!(flavor, Ok(RuntimeFlavor::MultiThread)) && tokio::task::try_id().is_some()
}

fn park_until<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
