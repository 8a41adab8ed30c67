//! Panic isolation for foreign code.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs user code: a listener, a waker, a source, a subscriber of log events. Returns `None` if it panicked.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => Some(done),
        Err(panic) => {
            // the payload of a panic may panic when it is dropped
            let dropped = catch_unwind(AssertUnwindSafe(|| drop(panic)));
            if let Err(again) = dropped {
                std::mem::forget(again);
            }
            None
        }
    }
}
