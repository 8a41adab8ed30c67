//! The tier that machines share, compiled out.

use super::hit::Hit;
use super::inner::Inner;
use super::store::StoreRequest;
use crate::key::Key;

impl Inner {
    pub(crate) fn shares(&self) -> bool {
        false
    }

    pub(crate) fn count_without_content(&self) {}

    pub(crate) fn find_shared(&self, _: Key, _: StoreRequest<'_>) -> Option<(Hit, bool)> {
        None
    }

    pub(crate) fn offer(&self, _: Key, _: &StoreRequest<'_>) {}

    #[cfg(feature = "metrics")]
    pub(super) fn publish_shared_metrics(&self) {}
}
