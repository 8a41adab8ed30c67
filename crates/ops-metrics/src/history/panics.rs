use std::sync::atomic::{AtomicU64, Ordering};

use crate::builtin::panics_total;

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Counts panics from now on, before the panic hook that is already set.
pub(crate) fn count() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // no metric is looked up here: the panic may have happened inside a lookup
        PANICS.fetch_add(1, Ordering::Relaxed);
        before(panic);
    }));
}

/// Returns the number of panics since [`init`](crate::init), including caught ones.
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

pub(crate) fn publish() {
    panics_total().absolute(PANICS.load(Ordering::Relaxed));
}
