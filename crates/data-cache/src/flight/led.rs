//! Flights led by the code that is currently running: waiting for one of them would be waiting for itself.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;

use crate::sync::thread_local;

thread_local! {
    static CURRENT: RefCell<Led> = RefCell::default();
}

/// For each result that a flight is led to, the results that its work waits for, in the whole process.
static WAITS: Mutex<Option<HashMap<u64, Vec<u64>>>> = Mutex::new(None);

/// Serials of the results to which some work leads flights, directly or through its callers.
#[derive(Clone, Default)]
pub(crate) struct Led(Option<Arc<[u64]>>);

impl Led {
    /// Returns the flights led by this thread, or by the task that it polls.
    pub(crate) fn current() -> Self {
        // a thread that is terminating leads nothing
        CURRENT
            .try_with(|current| current.borrow().clone())
            .unwrap_or_default()
    }

    pub(super) fn with(&self, serial: u64) -> Self {
        let serials = self.serials().iter().copied().chain([serial]);
        Self(Some(serials.collect()))
    }

    fn serials(&self) -> &[u64] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Runs `work` as part of these flights.
    pub(crate) fn enter<R>(&self, work: impl FnOnce() -> R) -> R {
        struct Restore(Option<Led>);
        impl Drop for Restore {
            fn drop(&mut self) {
                let before = self.0.take().unwrap_or_default();
                let _ = CURRENT.try_with(|current| current.replace(before));
            }
        }
        let before = CURRENT.try_with(|current| current.replace(self.clone()));
        let _restore = Restore(before.ok());
        work()
    }

    /// Wraps `work` as part of these flights, for any thread.
    pub(crate) fn carried(self, work: impl FnOnce() + Send + 'static) -> Box<dyn FnOnce() + Send> {
        match self.0 {
            None => Box::new(work),
            Some(_) => Box::new(move || self.enter(work)),
        }
    }

    /// Wraps a future so that each poll is part of these flights.
    pub(crate) fn scope<F: Future>(&self, future: F) -> Scoped<F> {
        Scoped {
            led: self.clone(),
            future: Box::pin(future),
        }
    }

    /// Records that these flights wait for a flight to the given result; `None` if that flight waits for one of these.
    pub(super) fn wait_for(&self, serial: u64) -> Option<Wait> {
        let led = self.serials();
        if led.is_empty() {
            return Some(Wait(Vec::new(), serial));
        }
        let mut waits = WAITS.lock();
        let waits = waits.get_or_insert_default();
        let mut open = vec![serial];
        let mut seen = Vec::new();
        while let Some(next) = open.pop() {
            if led.contains(&next) {
                return None;
            }
            if !seen.contains(&next) {
                seen.push(next);
                open.extend(waits.get(&next).into_iter().flatten());
            }
        }
        for waiting in led {
            waits.entry(*waiting).or_default().push(serial);
        }
        Some(Wait(led.to_vec(), serial))
    }
}

/// Record that some flights wait for another one, until dropped.
pub(super) struct Wait(Vec<u64>, u64);

impl Drop for Wait {
    fn drop(&mut self) {
        if self.0.is_empty() {
            return;
        }
        let mut waits = WAITS.lock();
        let Some(waits) = waits.as_mut() else { return };
        for waiting in &self.0 {
            let Some(awaited) = waits.get_mut(waiting) else {
                continue;
            };
            if let Some(at) = awaited.iter().position(|serial| *serial == self.1) {
                awaited.swap_remove(at);
            }
            if awaited.is_empty() {
                waits.remove(waiting);
            }
        }
    }
}

/// See [`Led::scope`].
pub(crate) struct Scoped<F> {
    led: Led,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        this.led.enter(|| this.future.as_mut().poll(context))
    }
}
