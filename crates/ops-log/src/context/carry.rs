//! Contexts passed on to other work: futures, threads, blocking tasks.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use pin_project_lite::pin_project;

use crate::context::{Context, Scope, current};

pin_project! {
    /// Future with its own context, returned by [`with_log_context`].
    ///
    /// The context is current while the future is polled, and while it is dropped.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct WithLogContext<F> {
        #[pin]
        inner: Option<F>,
        context: Context,
    }

    impl<F> PinnedDrop for WithLogContext<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _scope = Scope::enter(this.context);
            this.inner.set(None);
        }
    }
}

/// Gives a future its own context: a copy of the current one, which follows it across threads.
pub fn with_log_context<F: Future>(future: F) -> WithLogContext<F> {
    WithLogContext::new(future, current())
}

impl<F> WithLogContext<F> {
    pub(crate) fn new(future: F, context: Context) -> Self {
        Self {
            inner: Some(future),
            context,
        }
    }
}

/// [`with_log_context`] as a method: `future.with_log_context()`.
pub trait LogContextExt: Future + Sized {
    /// Gives this future its own context, a copy of the current one.
    fn with_log_context(self) -> WithLogContext<Self> {
        with_log_context(self)
    }
}

impl<F: Future> LogContextExt for F {}

impl<F: Future> Future for WithLogContext<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _scope = Scope::enter(this.context);
        // `None` only after its drop
        this.inner
            .as_pin_mut()
            .map_or(Poll::Pending, |inner| inner.poll(cx))
    }
}

/// Returns work that runs under a copy of the current context, for another thread.
pub fn carry<R>(work: impl FnOnce() -> R) -> impl FnOnce() -> R {
    let mut context = current();
    move || {
        let _scope = Scope::enter(&mut context);
        work()
    }
}

/// Value with a copy of the context in which it was wrapped, such as a message in a channel or an item in a queue.
#[derive(Clone, Debug)]
pub struct Carried<T> {
    value: T,
    context: Context,
}

impl<T> Carried<T> {
    /// Wraps a value with a copy of the current context.
    pub fn new(value: T) -> Self {
        Self {
            value,
            context: current(),
        }
    }

    /// Calls the function with the value, under that context.
    pub fn in_scope<R>(mut self, work: impl FnOnce(T) -> R) -> R {
        let _scope = Scope::enter(&mut self.context);
        work(self.value)
    }

    /// Returns the value without its context.
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

/// Threads that start with a copy of the current context.
pub mod thread {
    /// Starts a thread like [`std::thread::spawn`], under a copy of the current context.
    ///
    /// # Panics
    ///
    /// Panics if the operating system cannot create a thread, like [`std::thread::spawn`].
    pub fn spawn<T: Send + 'static>(
        work: impl FnOnce() -> T + Send + 'static,
    ) -> std::thread::JoinHandle<T> {
        std::thread::spawn(super::carry(work))
    }
}

/// Spawns a future like `tokio::spawn`, under a copy of the current context.
///
/// # Panics
///
/// Panics outside of a tokio runtime, like `tokio::spawn`.
#[cfg(feature = "tokio")]
pub fn spawn<F>(future: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(with_log_context(future))
}

/// Runs work like `tokio::task::spawn_blocking`, under a copy of the current context.
///
/// # Panics
///
/// Panics outside of a tokio runtime, like `tokio::task::spawn_blocking`.
#[cfg(feature = "tokio")]
pub fn spawn_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    tokio::task::spawn_blocking(carry(work))
}
