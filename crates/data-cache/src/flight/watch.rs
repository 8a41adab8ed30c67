//! Timeout of waiters: a thread that runs while callers wait.

use std::hash::Hash;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::{FlightId, Flights, Shared};
use crate::sync;

/// Interval at which the thread checks the waiters; a quarter of the limit if that is shorter.
const INTERVAL: Duration = Duration::from_secs(1);

impl<I: FlightId, T: Clone + Send + 'static> Flights<I, T> {
    /// Starts a thread that releases waiters after the limit. If no thread can be started, there is no limit.
    pub(super) fn watch(&self) {
        if self.0.is_watched.swap(true, Ordering::AcqRel) {
            return;
        }
        let shared = Arc::downgrade(&self.0);
        if !sync::spawn("data-cache-watch", move || watch(&shared)) {
            self.0.is_watched.store(false, Ordering::Release);
        }
    }
}

fn watch<I: Eq + Hash, T>(shared: &Weak<Shared<I, T>>) {
    let limit = || {
        let shared = shared.upgrade()?;
        Some(Duration::from_millis(shared.limit.load(Ordering::Relaxed)))
    };
    while let Some(limit) = limit() {
        std::thread::park_timeout(INTERVAL.min(limit / 4));
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let mut late = Vec::new();
        let is_idle;
        {
            let mut open = shared.open.lock();
            let now = Instant::now();
            for flight in open.values_mut() {
                // the first seat is the leader's
                let is_late =
                    |number: u64, since: Instant| number > 0 && now.duration_since(since) >= limit;
                let found = flight
                    .waiters
                    .extract_if(.., |seat| is_late(seat.number, seat.since));
                late.extend(found);
            }
            let mut waiting = open.values().flat_map(|flight| &flight.waiters);
            is_idle = waiting.all(|seat| seat.number == 0);
            if is_idle {
                // under the lock, so that the next waiter starts another thread
                shared.is_watched.store(false, Ordering::Release);
            }
        }
        for seat in late {
            tracing::warn!(target: "data_cache", limit_ms = limit.as_millis(), "flight_waited_for_too_long");
            (seat.waiter)(None);
        }
        if is_idle {
            return;
        }
    }
}
