//! A future that is polled in the context of its creator, on any thread.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::hooks::Job;
use super::inner::Inner;

/// Polls a future as work that [`carry_context`](super::Cache::carry_context) wraps: the first time in the context in
/// which this was created, later in the context that the previous poll left.
pub(super) struct Carried<F: Future> {
    shared: Arc<Mutex<Polled<F>>>,
    /// The next poll; `None` without a context carrier.
    next: Option<Job>,
}

struct Polled<F: Future> {
    future: Pin<Box<F>>,
    /// Taken by the next poll.
    waker: Option<Waker>,
    output: Option<F::Output>,
    next: Option<Job>,
}

impl<F> Carried<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    pub(super) fn new(inner: &Arc<Inner>, future: F) -> Self {
        let shared = Arc::new(Mutex::new(Polled {
            future: Box::pin(future),
            waker: None,
            output: None,
            next: None,
        }));
        let next = inner.hooks.carries().then(|| next_poll(inner, &shared));
        Self { shared, next }
    }
}

fn next_poll<F>(inner: &Arc<Inner>, shared: &Arc<Mutex<Polled<F>>>) -> Job
where
    F: Future<Output: Send> + Send + 'static,
{
    let (carrier, shared) = (inner.clone(), shared.clone());
    inner.hooks.carried(Box::new(move || {
        let mut polled = shared.lock();
        let Some(waker) = polled.waker.take() else {
            return;
        };
        let future = polled.future.as_mut();
        match future.poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => polled.output = Some(output),
            Poll::Pending => polled.next = Some(next_poll(&carrier, &shared)),
        }
    }))
}

impl<F: Future> Drop for Carried<F> {
    /// Drops the next poll, which owns what it polls: it is left in
    /// the shared state if the wrapper of the last poll panicked.
    fn drop(&mut self) {
        let next = self
            .shared
            .try_lock()
            .and_then(|mut polled| polled.next.take());
        drop(next);
    }
}

impl<F: Future> Future for Carried<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        if let Some(poll) = self.next.take() {
            self.shared.lock().waker = Some(context.waker().clone());
            poll();
        }
        let shared = self.shared.clone();
        let mut polled = shared.lock();
        self.next = polled.next.take();
        match polled.output.take() {
            Some(output) => Poll::Ready(output),
            None if self.next.is_some() => Poll::Pending,
            // no context carrier is set, or it panicked
            None => polled.future.as_mut().poll(context),
        }
    }
}
