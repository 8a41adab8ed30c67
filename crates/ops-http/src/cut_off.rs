use std::cell::Cell;

thread_local! {
    static IS_CUTTING: Cell<bool> = const { Cell::new(false) };
}

/// Runs a closure that drops requests because the server gives them up, for example when its time to stop
/// is over. They end as [`Ending::CutOff`](crate::Ending::CutOff) instead of as aborted by their clients.
pub fn cut_off<T>(drop_them: impl FnOnce() -> T) -> T {
    let _reset = Reset(IS_CUTTING.replace(true));
    drop_them()
}

/// Returns `true` if this thread is inside [`cut_off`].
pub(crate) fn is_cutting() -> bool {
    IS_CUTTING.get()
}

struct Reset(bool);

impl Drop for Reset {
    fn drop(&mut self) {
        IS_CUTTING.set(self.0);
    }
}
