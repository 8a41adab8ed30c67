use std::future::Future;

use tokio::task::JoinHandle;

use crate::glue;

/// Spawns a task that keeps the log context and the span it was spawned under.
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

/// Runs blocking work on a thread of its own, under the log context and the span it was called under.
///
/// # Panics
///
/// Panics outside of a tokio runtime, like `tokio::task::spawn_blocking`.
pub fn spawn_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    tokio::task::spawn_blocking(glue::log::carry(glue::trace::carry(work)))
}
