use std::cell::Cell;

thread_local! {
    static IS_CUTTING: Cell<bool> = const { Cell::new(false) };
}

/// Runs what drops requests because their server gives them up, as at the end of its time to stop: they end as
/// [`Ending::CutOff`](crate::Ending::CutOff), not as if their clients had gone away.
pub fn cut_off<T>(drop_them: impl FnOnce() -> T) -> T {
    let _reset = Reset(IS_CUTTING.replace(true));
    drop_them()
}

/// Reports whether this thread drops requests of a server that gives them up.
pub(crate) fn is_cutting() -> bool {
    IS_CUTTING.get()
}

struct Reset(bool);

impl Drop for Reset {
    fn drop(&mut self) {
        IS_CUTTING.set(self.0);
    }
}
