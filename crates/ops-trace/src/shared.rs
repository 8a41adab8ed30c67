use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use crate::ring::Ring;
use crate::stats::Counters;

/// What request threads, the export thread and readers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) counters: Counters,
    pub(crate) queue_capacity: usize,
    pub(crate) ring: Ring,
    /// What the collector refused in the export that runs now.
    pub(crate) rejected_now: AtomicU64,
    deadline: OnceLock<Instant>,
}

impl Shared {
    pub(crate) fn new(queue_capacity: usize) -> Self {
        Self {
            counters: Counters::default(),
            queue_capacity,
            ring: Ring::default(),
            rejected_now: AtomicU64::new(0),
            deadline: OnceLock::new(),
        }
    }

    /// From now on no span is taken, and what waits is sent until the budget is spent. The first call counts.
    pub(crate) fn close(&self, budget: Duration) {
        self.deadline.get_or_init(|| Instant::now() + budget);
    }

    pub(crate) fn closing(&self) -> bool {
        self.deadline.get().is_some()
    }

    /// What is left of the shutdown budget; `None` while there is no shutdown.
    pub(crate) fn left(&self) -> Option<Duration> {
        let deadline = self.deadline.get()?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }
}
