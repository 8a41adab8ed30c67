//! Blocking wait on a thread, inside or outside of tokio.

use std::panic::{self, AssertUnwindSafe};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use tokio::runtime::{Handle, RuntimeFlavor};

/// Runs a future that needs no runtime to completion on this thread; `None` if `limit` passes first.
///
/// On a worker of a multi-thread runtime, the worker's other tasks move to another thread while this one waits.
pub(crate) fn block_on<F: Future>(future: F, limit: Option<Instant>) -> Option<F::Output> {
    let mut future = Some(future);
    if is_on_a_worker() {
        let wait = || {
            tokio::task::block_in_place(|| future.take().map(|future| park_until(future, limit)))
        };
        // within a `LocalSet` of a multi-thread runtime `block_in_place`
        // panics before it runs anything: the worker itself waits then
        match panic::catch_unwind(AssertUnwindSafe(wait)) {
            Ok(Some(output)) => return output,
            Err(panic) if future.is_none() => panic::resume_unwind(panic),
            Ok(None) | Err(_) => {}
        }
    }
    park_until(future?, limit)
}

/// Returns whether this thread is a worker. The thread that
/// called `block_on` of a runtime is not: it runs no other task.
fn is_on_a_worker() -> bool {
    let flavor = Handle::try_current().map(|runtime| runtime.runtime_flavor());
    matches!(flavor, Ok(RuntimeFlavor::MultiThread)) && tokio::task::try_id().is_some()
}

fn park_until<F: Future>(future: F, limit: Option<Instant>) -> Option<F::Output> {
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
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Some(output);
        }
        match limit.map(|limit| limit.saturating_duration_since(Instant::now())) {
            None => thread::park(),
            Some(left) if left.is_zero() => return None,
            Some(left) => thread::park_timeout(left),
        }
    }
}
