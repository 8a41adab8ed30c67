//! The primitives of a flight. `tests/model.rs` has a module of the same names, by which every order of steps is tried.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64};
pub(crate) use std::thread_local;

pub(crate) use parking_lot::Mutex;

/// Runs `work` on a thread of its own; returns `false` if no thread can be had.
pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> bool {
    let named = std::thread::Builder::new().name(name.to_owned());
    named.spawn(work).is_ok()
}
