use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use opentelemetry::Context;
use pin_project_lite::pin_project;
use tokio::task::JoinHandle;

use crate::Span;

pin_project! {
    /// A future that runs with a span as the current one.
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct Instrumented<F> {
        #[pin]
        future: Option<F>,
        context: Context,
        span: Option<Span>,
        // stays set if the future panics: unwinding skips the line that clears it
        running: bool,
    }

    impl<F> PinnedDrop for Instrumented<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if *this.running && let Some(span) = this.span.as_ref() {
                span.set_error("panic");
            }
            let _entered = this.context.clone().attach();
            this.future.set(None);
        }
    }
}

pub(crate) fn instrumented<F>(context: Context, future: F, span: Option<Span>) -> Instrumented<F> {
    Instrumented {
        future: Some(future),
        context,
        span,
        running: false,
    }
}

impl<F: Future> Future for Instrumented<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let entered = this.context.clone().attach();
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            return Poll::Pending; // polled after completion, which a caller must not do
        };
        *this.running = true;
        let poll = future.poll(cx);
        *this.running = false;
        if poll.is_ready() {
            this.future.set(None); // values that the future holds are dropped inside the span
            drop(entered); // first: a span end hook that logs must not wait for the lock of the current span
            drop(this.span.take());
        }
        poll
    }
}

/// Wraps a future so that it runs with the current span, on any thread.
pub fn with_trace_context<F: Future>(future: F) -> Instrumented<F> {
    instrumented(Context::current(), future, None)
}

/// Extension of futures with `with_trace_context`.
pub trait TraceContext: Future + Sized {
    /// Wraps the future so that it runs with the current span, on any thread.
    fn with_trace_context(self) -> Instrumented<Self> {
        with_trace_context(self)
    }
}

impl<F: Future> TraceContext for F {}

/// Wraps a closure so that it runs with the current span: for threads, pools and channels.
pub fn carry<R>(work: impl FnOnce() -> R) -> impl FnOnce() -> R {
    let context = Context::current();
    move || {
        let _entered = context.attach();
        work()
    }
}

/// A value with the span that was current when it was wrapped: a message in a channel, an item in a queue.
///
/// ```
/// let (send, receive) = std::sync::mpsc::channel();
/// let span = ops_trace::create_span("order", []);
/// let sent = span.in_scope(|_| send.send(ops_trace::Carried::new(7)));
/// # sent.unwrap();
/// let order = receive.recv().unwrap();
/// let seats = order.in_scope(|seats| seats + 1); // under the span `order`
/// assert_eq!(seats, 8);
/// ```
///
/// An async receiver creates the future in the scope and wraps it with [`with_trace_context`]:
/// `order.in_scope(|order| with_trace_context(handle(order))).await`.
#[derive(Clone, Debug)]
pub struct Carried<T> {
    value: T,
    context: Context,
}

impl<T> Carried<T> {
    /// Wraps a value with the current span.
    pub fn new(value: T) -> Self {
        Self {
            value,
            context: Context::current(),
        }
    }

    /// Calls the function with the value, under the span that was current when it was wrapped.
    pub fn in_scope<R>(self, work: impl FnOnce(T) -> R) -> R {
        let _entered = self.context.attach();
        work(self.value)
    }

    /// Returns the value, without its span.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> std::ops::Deref for Carried<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Calls `tokio::spawn` with the current span.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(with_trace_context(future))
}

/// Calls `tokio::task::spawn_blocking` with the current span.
pub fn spawn_blocking<R: Send + 'static>(
    work: impl FnOnce() -> R + Send + 'static,
) -> JoinHandle<R> {
    tokio::task::spawn_blocking(carry(work))
}

/// Calls `std::thread::spawn` with the current span.
pub fn spawn_thread<R: Send + 'static>(
    work: impl FnOnce() -> R + Send + 'static,
) -> std::thread::JoinHandle<R> {
    std::thread::spawn(carry(work))
}
