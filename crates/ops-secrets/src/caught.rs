//! A fence around code that is not ours.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs code of a user: a listener, a waker, a source, a subscriber of log events. `None` if it panicked.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => Some(done),
        Err(panic) => {
            // what a panic carries may panic when it is dropped
            let dropped = catch_unwind(AssertUnwindSafe(|| drop(panic)));
            if let Err(again) = dropped {
                std::mem::forget(again);
            }
            None
        }
    }
}
