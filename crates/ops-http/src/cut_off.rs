use std::cell::Cell;

thread_local! {
    static IN_CUT_OFF: Cell<bool> = const { Cell::new(false) };
}

/// Runs a closure that drops requests because the server gives them up, for example when its time to stop
/// is over. They end as [`Ending::CutOff`](crate::Ending::CutOff) instead of as aborted by their clients.
pub fn cut_off<T>(drop_requests: impl FnOnce() -> T) -> T {
    let _reset = Reset(IN_CUT_OFF.replace(true));
    drop_requests()
}

/// Returns `true` if this thread is inside [`cut_off`].
pub(crate) fn in_cut_off() -> bool {
    IN_CUT_OFF.get()
}

struct Reset(bool);

impl Drop for Reset {
    fn drop(&mut self) {
        IN_CUT_OFF.set(self.0);
    }
}
