use std::sync::atomic::{AtomicU64, Ordering};

crate::labels! {
    /// Why a value was not counted.
    pub enum RejectReason {
        NonFinite = "non_finite",
        Negative = "negative",
        Labels = "labels",
    }
}

impl RejectReason {
    pub(crate) const ALL: [Self; 3] = [Self::NonFinite, Self::Negative, Self::Labels];
}

/// Values of one family that were not counted.
#[derive(Debug)]
pub(crate) struct Rejected {
    non_finite: AtomicU64,
    negative: AtomicU64,
    labels: AtomicU64,
}

impl Rejected {
    pub(crate) const fn new() -> Self {
        Self {
            non_finite: AtomicU64::new(0),
            negative: AtomicU64::new(0),
            labels: AtomicU64::new(0),
        }
    }

    #[cold]
    pub(crate) fn count(&self, reason: RejectReason) {
        self.of(reason).fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self, reason: RejectReason) -> u64 {
        self.of(reason).load(Ordering::Relaxed)
    }

    fn of(&self, reason: RejectReason) -> &AtomicU64 {
        match reason {
            RejectReason::NonFinite => &self.non_finite,
            RejectReason::Negative => &self.negative,
            RejectReason::Labels => &self.labels,
        }
    }
}
