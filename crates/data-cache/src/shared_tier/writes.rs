//! State of writes: if the store accepts them, and evaluates their conditions.
//!
//! Both are checked in the background, at the start and after a write that failed or was denied, so that
//! no lookup waits for a store that is known to be in trouble. A lookup that wants a lease during the
//! first check waits for it within its 2 s.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::breaker::{Breaker, PAUSE, Permit};
use super::conditional;
use super::store::{Failure, Operation};
use super::tier::SharedTier;

/// Interval between two probes of a store that denied a write: permissions have to be changed first.
const DENIED_PAUSE: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(super) struct Writes {
    breaker: Breaker,
    known: Mutex<Known>,
    checked: Condvar,
}

#[derive(Default)]
struct Known {
    /// `true` if conditional writes are supported; `None` if unknown.
    is_conditional: Option<bool>,
    /// `true` while the store is being checked.
    is_checking: bool,
    /// `true` if the credentials did not suffice at the last attempt.
    is_denied: bool,
}

impl Writes {
    /// Returns `true` while nothing is written and no lease taken.
    pub(super) fn are_stopped(&self) -> bool {
        self.breaker.is_open()
    }

    pub(super) fn are_denied(&self) -> bool {
        self.known.lock().is_denied
    }

    pub(super) fn are_conditional(&self) -> Option<bool> {
        self.known.lock().is_conditional
    }

    pub(super) fn failed(&self, now: Instant) {
        self.breaker.failed(now, PAUSE);
    }

    /// Records a denied write; returns `true` if writes were not denied before.
    pub(super) fn denied(&self, now: Instant) -> bool {
        self.breaker.failed(now, DENIED_PAUSE);
        !std::mem::replace(&mut self.known.lock().is_denied, true)
    }

    /// Waits for a check in progress; returns `false` on timeout.
    fn wait_until(&self, by: Instant) -> bool {
        let mut known = self.known.lock();
        while known.is_checking && known.is_conditional.is_none() {
            if self.checked.wait_until(&mut known, by).timed_out() {
                return !known.is_checking || known.is_conditional.is_some();
            }
        }
        true
    }
}

impl SharedTier {
    /// Returns `true` if the store accepts writes; starts a probe if one is due.
    pub(super) fn may_write(self: &Arc<Self>) -> bool {
        match self.writes.breaker.permit(self.now()) {
            Permit::Call => return true,
            Permit::Probe => self.probe_writes(),
            Permit::Refused => {}
        }
        false
    }

    /// Returns `true` if leases are available. Waits for the first check of the store until `by`.
    pub(super) fn may_lease(self: &Arc<Self>, by: Instant) -> bool {
        if !self.may_write() {
            return false;
        }
        if !self.writes.wait_until(by) {
            self.failed(&Failure::late(), Operation::Lease);
        }
        self.writes.are_conditional() == Some(true)
    }

    /// Returns `true` if the store refuses writes whose condition does not hold; `None` if that is unknown at `by`.
    pub(super) fn is_conditional(self: &Arc<Self>, by: Instant) -> Option<bool> {
        self.may_write();
        self.writes.wait_until(by);
        self.writes.are_conditional()
    }

    /// Checks in the background if writes are accepted, and their conditions evaluated.
    pub(super) fn probe_writes(self: &Arc<Self>) {
        if std::mem::replace(&mut self.writes.known.lock().is_checking, true) {
            return;
        }
        let tier = self.clone();
        self.reads.run(move || {
            let found = conditional::supports_conditional_writes(&*tier.store);
            tier.record_write_check(found);
        });
    }

    fn record_write_check(&self, found: Result<bool, Failure>) {
        // a probe that fails again is no reason to stop reads
        if let Err(failure) = &found
            && (failure.is_denied || !self.writes.are_stopped())
        {
            self.failed(failure, Operation::Probe);
        }
        let mut known = self.writes.known.lock();
        let pause = if known.is_denied { DENIED_PAUSE } else { PAUSE };
        self.writes.breaker.probed(found.is_ok(), self.now(), pause);
        if let Ok(is_conditional) = found {
            if !is_conditional && known.is_conditional.is_none() {
                tracing::warn!(
                    target: "data_cache",
                    effect = "no leases are taken, and results without a content id are not shared; use a store that respects \
                              If-None-Match and If-Match on writes",
                    "shared_store_without_conditional_writes"
                );
            }
            known.is_conditional = Some(is_conditional);
            if std::mem::replace(&mut known.is_denied, false) {
                tracing::info!(target: "data_cache", "shared_writes_taken_again");
            }
        }
        known.is_checking = false;
        self.writes.checked.notify_all();
    }
}
