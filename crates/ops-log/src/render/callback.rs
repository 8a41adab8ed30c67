//! Application code that runs while a line is created.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs application code; its panic is caught and reported by the caller, and ignored by the panic hook.
#[inline]
pub(crate) fn quietly<R>(work: impl FnOnce() -> R) -> R {
    let before = QUIET.try_with(|quiet| quiet.replace(true));
    let result = work();
    if let Ok(before) = before {
        let _ = QUIET.try_with(|quiet| quiet.set(before));
    }
    result
}

/// Runs application code; `None` if it panicked. The panic hook ignores that panic.
#[inline]
pub(crate) fn caught<R>(work: impl FnOnce() -> R) -> Option<R> {
    quietly(|| catch_unwind(AssertUnwindSafe(work))).ok()
}

/// Returns `true` inside [`quietly`].
pub(crate) fn is_quiet() -> bool {
    QUIET.try_with(Cell::get).unwrap_or(false)
}
