use std::sync::atomic::{AtomicU64, Ordering};

crate::labels! {
    /// Reason for which a value was not counted, or not counted as it was given.
    pub enum RejectReason {
        NonFinite = "non_finite",
        Negative = "negative",
        Labels = "labels",
        Name = "name",
        Limit = "limit",
    }
}

/// Numbers of values of one family that were not counted.
#[derive(Debug)]
pub(crate) struct Rejected {
    non_finite: AtomicU64,
    negative: AtomicU64,
}

impl Rejected {
    pub(crate) const fn new() -> Self {
        Self {
            non_finite: AtomicU64::new(0),
            negative: AtomicU64::new(0),
        }
    }

    #[cold]
    pub(crate) fn non_finite(&self) {
        self.non_finite.fetch_add(1, Ordering::Relaxed);
    }

    #[cold]
    pub(crate) fn negative(&self) {
        self.negative.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the count for each reason that can apply to a value.
    pub(crate) fn counts(&self) -> [(RejectReason, u64); 2] {
        [
            (
                RejectReason::NonFinite,
                self.non_finite.load(Ordering::Relaxed),
            ),
            (
                RejectReason::Negative,
                self.negative.load(Ordering::Relaxed),
            ),
        ]
    }
}
