use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static WRITING: Cell<bool> = const { Cell::new(false) };
}

struct Reset;

impl Drop for Reset {
    fn drop(&mut self) {
        let _ = WRITING.try_with(|writing| writing.set(false));
    }
}

/// Runs `work`, unless this thread is already inside it; `None` if it did not run, or panicked.
#[inline]
pub(crate) fn guarded<R>(work: impl FnOnce() -> R) -> Option<R> {
    if WRITING.try_with(|writing| writing.replace(true)) == Ok(true) {
        return None;
    }
    let _reset = Reset;
    catch_unwind(AssertUnwindSafe(work)).ok()
}
