//! Stand-in for the shared tier if it is compiled out.

use super::coalesce::Plan;
use super::hit::Hit;
use super::inner::Inner;
use super::look_up::Limits;
use super::store::{StoreRequest, Stored};
use super::turn::WaitingThread;
use crate::error::Error;
use crate::key::Key;
use crate::stats::Miss;

/// Key and place of a result without a content id.
#[derive(Clone, Copy)]
pub(crate) struct Placed {
    pub(crate) key: Key,
    pub(crate) is_shared: bool,
    pub(crate) is_storable: bool,
}

/// Duty to compute a result for this machine only.
#[derive(Default)]
pub(crate) struct Duty {}

/// Outcome of a lookup in the shared tier.
pub(crate) enum SharedTurn {
    #[expect(dead_code, reason = "nothing is found without the tier")]
    Found(Hit, bool),
    Compute(Duty),
}

impl Inner {
    pub(crate) fn shares(&self) -> bool {
        false
    }

    pub(crate) fn count_without_content(&self) {}

    pub(crate) fn join_shared(
        &self,
        _: Key,
        _: StoreRequest<'_>,
        _: Limits,
        _: &dyn Fn() -> bool,
        _: WaitingThread,
    ) -> SharedTurn {
        SharedTurn::Compute(Duty::default())
    }

    pub(crate) fn offer(&self, _: Key, _: &StoreRequest<'_>, _: Duty) {}

    pub(super) fn shares_computed(&self) -> bool {
        false
    }

    pub(super) fn placed(&self, key: Key) -> Placed {
        Placed {
            key,
            is_shared: false,
            is_storable: true,
        }
    }

    pub(super) fn find_placed(&self, placed: Placed, _: &str) -> Result<Hit, Miss> {
        self.find(&placed.key)
    }

    pub(super) fn join_planned(&self, _: &Plan, _: WaitingThread) -> SharedTurn {
        SharedTurn::Compute(Duty::default())
    }

    pub(super) fn replace_shared(&self, _: Placed, _: &StoreRequest<'_>, _: Stored) {}

    pub(super) fn invalidate_shared(&self) -> Result<(), Error> {
        Ok(())
    }

    #[cfg(feature = "metrics")]
    pub(super) fn publish_shared_metrics(&self) {}
}
