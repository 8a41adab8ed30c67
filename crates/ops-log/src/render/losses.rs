use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters of losses within lines.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    truncated: AtomicU64,
    value_errors: AtomicU64,
}

impl Counters {
    pub(crate) const fn new() -> Self {
        Self {
            truncated: AtomicU64::new(0),
            value_errors: AtomicU64::new(0),
        }
    }

    pub(crate) fn truncated(&self, count: u64) {
        self.truncated.fetch_add(count, Relaxed);
    }

    pub(crate) fn value_error(&self) {
        self.value_errors.fetch_add(1, Relaxed);
    }

    pub(crate) fn truncated_so_far(&self) -> u64 {
        self.truncated.load(Relaxed)
    }

    pub(crate) fn value_errors_so_far(&self) -> u64 {
        self.value_errors.load(Relaxed)
    }
}
