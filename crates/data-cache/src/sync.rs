//! Synchronization primitives of a flight. `tests/model.rs` has
//! a module with the same names that tries every interleaving.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64};
pub(crate) use std::thread_local;

pub(crate) use parking_lot::Mutex;

/// Runs `work` on a new thread; returns `false` if the thread cannot be started.
pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> bool {
    let named = std::thread::Builder::new().name(name.to_owned());
    named.spawn(work).is_ok()
}
