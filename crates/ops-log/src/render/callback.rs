//! Code of others that runs while a line is made.

use std::cell::Cell;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs user code whose panic is caught and told in its line: it is nobody else's business.
#[inline]
pub(crate) fn quietly<R>(work: impl FnOnce() -> R) -> R {
    let before = QUIET.try_with(|quiet| quiet.replace(true));
    let result = work();
    if let Ok(before) = before {
        let _ = QUIET.try_with(|quiet| quiet.set(before));
    }
    result
}

/// Reports whether a panic now is one that [`quietly`] takes care of.
pub(crate) fn is_quiet() -> bool {
    QUIET.try_with(Cell::get).unwrap_or(false)
}
