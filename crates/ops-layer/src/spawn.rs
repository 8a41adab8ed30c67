use std::future::Future;

use tokio::task::JoinHandle;

/// Spawns a task that keeps the log context and the span it was spawned under.
///
/// # Panics
///
/// Outside of a tokio runtime, like `tokio::spawn`.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    #[cfg(feature = "trace")]
    let future = ops_trace::with_trace_context(future);
    #[cfg(feature = "log")]
    let future = ops_log::with_log_context(future);
    tokio::spawn(future)
}

/// Runs blocking work on a thread of its own, under the log context and the span it was called under.
///
/// # Panics
///
/// Outside of a tokio runtime, like `tokio::task::spawn_blocking`.
pub fn spawn_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    #[cfg(feature = "trace")]
    let work = ops_trace::carry(work);
    #[cfg(feature = "log")]
    let work = ops_log::carry(work);
    tokio::task::spawn_blocking(work)
}
