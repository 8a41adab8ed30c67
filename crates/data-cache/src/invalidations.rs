//! The latest invalidations of this process, for a cache without files.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::stats::Invalidation;

/// Number of invalidations kept.
const KEPT: usize = 100;

#[derive(Default)]
pub(crate) struct Invalidations(Mutex<VecDeque<Invalidation>>);

impl Invalidations {
    pub(crate) fn push(&self, new: Invalidation) {
        let mut past = self.0.lock();
        if past.len() == KEPT {
            past.pop_front();
        }
        past.push_back(new);
    }

    pub(crate) fn all(&self) -> Vec<Invalidation> {
        self.0.lock().iter().cloned().collect()
    }
}
