//! Code of others that runs while a line is made.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs user code whose panic the caller catches and reports: the panic hook ignores it.
#[inline]
pub(crate) fn quietly<R>(work: impl FnOnce() -> R) -> R {
    let before = QUIET.try_with(|quiet| quiet.replace(true));
    let result = work();
    if let Ok(before) = before {
        let _ = QUIET.try_with(|quiet| quiet.set(before));
    }
    result
}

/// Runs code of the application; `None` if it panicked, which the panic hook ignores.
#[inline]
pub(crate) fn caught<R>(work: impl FnOnce() -> R) -> Option<R> {
    quietly(|| catch_unwind(AssertUnwindSafe(work))).ok()
}

/// Reports whether a panic now is one that [`quietly`] takes care of.
pub(crate) fn is_quiet() -> bool {
    QUIET.try_with(Cell::get).unwrap_or(false)
}
