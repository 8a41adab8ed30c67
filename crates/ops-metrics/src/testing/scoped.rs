use std::pin::Pin;
use std::task::{Context, Poll};

use super::Registry;

/// A future that counts in a [`Registry`], from [`Registry::scope`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct Scoped<F> {
    registry: Registry,
    /// `None` once the future is dropped, which also happens inside the registry.
    future: Option<Pin<Box<F>>>,
}

impl<F: Future> Scoped<F> {
    pub(super) fn new(registry: Registry, future: F) -> Self {
        Self {
            registry,
            future: Some(Box::pin(future)),
        }
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { registry, future } = &mut *self;
        match future {
            Some(future) => registry.run(|| future.as_mut().poll(context)),
            None => Poll::Pending,
        }
    }
}

impl<F> Drop for Scoped<F> {
    fn drop(&mut self) {
        let future = self.future.take();
        self.registry.run(|| drop(future));
    }
}

impl<F> std::fmt::Debug for Scoped<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scoped").finish_non_exhaustive()
    }
}
