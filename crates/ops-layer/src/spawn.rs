use std::future::Future;
use std::ops::Deref;

use tokio::task::JoinHandle;

use crate::glue;

/// Wraps a future so that it runs under the current log context and span, on any
/// thread: for `JoinSet`, `FuturesUnordered`, `spawn_local` and other runtimes.
pub fn with_context<F: Future>(future: F) -> impl Future<Output = F::Output> {
    glue::log::with_context(glue::trace::with_context(future))
}

/// Wraps a closure so that it runs under the current log context
/// and span: for thread pools such as rayon's, and for callbacks.
pub fn carry<R>(work: impl FnOnce() -> R) -> impl FnOnce() -> R {
    glue::log::carry(glue::trace::carry(work))
}

/// Spawns a task that keeps the current log context and span.
///
/// # Panics
///
/// Panics outside of a tokio runtime, like `tokio::spawn`.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(glue::log::with_context(glue::trace::with_context(future)))
}

/// Runs blocking work on a separate thread, under the current log context and span.
///
/// # Panics
///
/// Panics outside of a tokio runtime, like `tokio::task::spawn_blocking`.
pub fn spawn_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    tokio::task::spawn_blocking(glue::log::carry(glue::trace::carry(work)))
}

/// Starts a thread under the current log context and span.
///
/// # Panics
///
/// Panics if the operating system cannot start a thread, like `std::thread::spawn`.
pub fn spawn_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> std::thread::JoinHandle<T> {
    std::thread::spawn(glue::log::carry(glue::trace::carry(work)))
}

/// Value with the log context and span under which it was wrapped: a message in a channel, an item in a queue.
///
/// ```
/// # async fn handle(order: u32) {}
/// # async fn example(mut orders: tokio::sync::mpsc::Receiver<ops_layer::Carried<u32>>) {
/// while let Some(order) = orders.recv().await {
///     order.in_scope(|order| ops_layer::with_context(handle(order))).await;
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Carried<T>(glue::log::Carried<glue::trace::Carried<T>>);

impl<T> Carried<T> {
    /// Wraps a value with the current log context and span.
    pub fn new(value: T) -> Self {
        Self(glue::log::Carried::new(glue::trace::Carried::new(value)))
    }

    /// Calls the function with the value, under the log context and span of the wrapping.
    pub fn in_scope<R>(self, work: impl FnOnce(T) -> R) -> R {
        self.0.in_scope(|traced| traced.in_scope(work))
    }

    /// Returns the value, without its context.
    pub fn into_inner(self) -> T {
        self.0.into_inner().into_inner()
    }
}

impl<T> Deref for Carried<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
