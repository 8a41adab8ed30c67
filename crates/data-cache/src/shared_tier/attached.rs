//! The shared tier of one cache, once it is set.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::tier::SharedTier;

#[derive(Default)]
pub(crate) struct Attached(OnceLock<Arc<SharedTier>>);

impl Attached {
    pub(crate) fn get(&self) -> Option<&Arc<SharedTier>> {
        self.0.get()
    }

    /// Sets the tier; returns `false` if there is one already.
    pub(crate) fn set(&self, tier: Arc<SharedTier>) -> bool {
        self.0.set(tier).is_ok()
    }

    /// Waits until no writes are pending; returns `false` on timeout.
    pub(crate) fn wait_idle(&self, deadline: Instant) -> bool {
        self.0.get().is_none_or(|tier| tier.wait_idle(deadline))
    }
}
