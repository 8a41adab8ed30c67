//! Invalidations whose entries are not all removed yet; each lookup checks them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::disk::{MAX_ORDER_BYTES, Order};
use crate::target::Target;

/// Time after which a removal that failed, or that another process runs, is checked again.
const RETRY_MILLIS: u64 = 5000;

/// An invalidation in progress.
pub(super) struct Pending {
    pub(super) order: Order,
    /// Time at which this process learned of it, in milliseconds since the cache was opened.
    pub(super) since: u64,
    /// `true` if this process removes the files.
    pub(super) is_own: AtomicBool,
    /// `true` while the call that announced it is running.
    pub(super) is_held: AtomicBool,
}

#[derive(Default)]
pub(super) struct PendingOrders {
    /// `true` if the list is not empty, which is rare.
    has_orders: AtomicBool,
    list: RwLock<Vec<Arc<Pending>>>,
    /// `true` while a thread removes files.
    is_removing: AtomicBool,
    /// Time of the last removal, in milliseconds since the cache was opened.
    removed_at: AtomicU64,
    /// `true` after a removal failed, until one succeeds.
    has_failed: AtomicBool,
}

impl PendingOrders {
    /// Adds an order. If the orders exceed [`MAX_ORDER_BYTES`], one that covers everything replaces the free ones.
    pub(super) fn push(&self, pending: Pending) {
        let mut list = self.list.write();
        if list.iter().map(|p| p.order.bytes()).sum::<usize>() > MAX_ORDER_BYTES {
            merge_free(&mut list);
        }
        let is_known = |known: &Arc<Pending>| known.order.count == pending.order.count;
        if !list.iter().any(is_known) {
            list.push(Arc::new(pending));
        }
        self.has_orders.store(true, Ordering::Release);
    }

    /// Returns `true` if an entry must not be served.
    pub(super) fn refuse(&self, generation: u64, label: &str, tables: &[String]) -> bool {
        self.has_orders.load(Ordering::Acquire)
            && self
                .list
                .read()
                .iter()
                .any(|pending| pending.order.refuses(generation, label, tables))
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.has_orders.load(Ordering::Acquire)
    }

    /// Returns `true` if something is pending, at most once in [`RETRY_MILLIS`].
    pub(super) fn is_due(&self, now: u64) -> bool {
        !self.is_empty()
            && now.saturating_sub(self.removed_at.load(Ordering::Relaxed)) >= RETRY_MILLIS
            && self.removed_at.swap(now, Ordering::Relaxed) != now
    }

    /// Returns `true` for one thread at a time, which then removes files.
    pub(super) fn begin(&self) -> bool {
        !self.is_removing.swap(true, Ordering::AcqRel)
    }

    /// Ends the removal; returns `true` if it must run again for orders added since `last`.
    pub(super) fn end(&self, last: u64) -> bool {
        self.is_removing.store(false, Ordering::Release);
        let is_new = |p: &Arc<Pending>| p.is_own.load(Ordering::Relaxed) && p.order.count > last;
        self.free().iter().any(is_new) && self.begin()
    }

    /// Returns the orders that precede any held one.
    pub(super) fn free(&self) -> Vec<Arc<Pending>> {
        let list = self.list.read();
        let first_held = first_held(&list);
        let free = list
            .iter()
            .filter(|p| first_held.is_none_or(|first| p.order.count < first));
        free.cloned().collect()
    }

    /// Records the result of a removal; returns `true` for the first of several failures.
    pub(super) fn has_newly_failed(&self, has_failed: bool) -> bool {
        !self.has_failed.swap(has_failed, Ordering::Relaxed) && has_failed
    }

    /// Leaves an order to background removal.
    pub(super) fn release(&self, count: u64) {
        let list = self.list.read();
        let meant = list.iter().filter(|p| p.order.count == count);
        meant.for_each(|p| p.is_held.store(false, Ordering::Release));
    }

    /// Makes this process remove the files of all orders.
    pub(super) fn own_all(&self) {
        for pending in self.list.read().iter() {
            pending.is_own.store(true, Ordering::Relaxed);
        }
    }

    /// Drops the orders for which `keep` returns `false`.
    pub(super) fn retain(&self, keep: impl Fn(&Pending) -> bool) {
        let mut list = self.list.write();
        list.retain(|pending| keep(pending));
        self.has_orders.store(!list.is_empty(), Ordering::Release);
    }
}

fn first_held(list: &[Arc<Pending>]) -> Option<u64> {
    let held = list.iter().filter(|p| p.is_held.load(Ordering::Acquire));
    held.map(|p| p.order.count).min()
}

fn merge_free(list: &mut Vec<Arc<Pending>>) {
    // an order that could not be announced has the highest count, `u64::MAX`, and is not free
    let first_held = first_held(list).unwrap_or(u64::MAX);
    let is_free = |p: &mut Arc<Pending>| p.order.count < first_held;
    let free: Vec<_> = list.extract_if(.., is_free).collect();
    let last = free.iter().map(|p| p.order.count).max();
    let since = free.iter().map(|p| p.since).min();
    let (Some(count), Some(since)) = (last, since) else {
        return;
    };
    tracing::warn!(target: "data_cache", effect = "entries older than the last of them are not served", "invalidations_merged");
    let is_own = free.iter().any(|p| p.is_own.load(Ordering::Relaxed));
    let target = Target::All;
    list.push(Arc::new(Pending {
        order: Order { count, target },
        since,
        is_own: is_own.into(),
        is_held: false.into(),
    }));
}
