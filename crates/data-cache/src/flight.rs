//! One flight per question: the first who asks starts it, those who ask meanwhile wait for the same answer.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::cancel::Cancel;

type Waiter<T> = Box<dyn FnOnce(T) + Send>;

/// The questions that are being answered.
pub(crate) struct Flights<I, T>(Arc<Mutex<HashMap<I, Flight<T>>>>);

struct Flight<T> {
    cancel: Cancel,
    next: u64,
    waiters: Vec<(u64, Waiter<T>)>,
}

impl<I, T> Clone for Flights<I, T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<I, T> Default for Flights<I, T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<I: Eq + Hash + Clone, T: Clone> Flights<I, T> {
    /// Waits for the answer to `id`. Who gets a [`Cancel`] as well is the first, and has to see to it that
    /// [`land`](Self::land) is called.
    pub(crate) fn join(
        &self,
        id: I,
        waiter: impl FnOnce(T) + Send + 'static,
    ) -> (Ticket<I, T>, Option<Cancel>) {
        let mut open = self.0.lock();
        let mut first = None;
        let flight = open.entry(id.clone()).or_insert_with(|| {
            let cancel = Cancel::default();
            first = Some(cancel.clone());
            Flight {
                cancel,
                next: 0,
                waiters: Vec::new(),
            }
        });
        let seat = flight.next;
        flight.next += 1;
        flight.waiters.push((seat, Box::new(waiter)));
        let ticket = Ticket {
            flights: self.clone(),
            id,
            seat,
            cancel: flight.cancel.clone(),
        };
        (ticket, first)
    }

    /// Answers everybody who waits on this flight.
    pub(crate) fn land(&self, id: &I, flight: &Cancel, answer: &T) {
        let waiters = {
            let mut open = self.0.lock();
            match open.get(id) {
                Some(found) if found.cancel.is(flight) => open.remove(id),
                _ => None,
            }
        };
        for (_, waiter) in waiters.into_iter().flat_map(|flight| flight.waiters) {
            waiter(answer.clone());
        }
    }
}

/// A seat on a flight. Dropped, it is given up; a flight that nobody waits for is cancelled.
pub(crate) struct Ticket<I: Eq + Hash, T> {
    flights: Flights<I, T>,
    id: I,
    seat: u64,
    cancel: Cancel,
}

impl<I: Eq + Hash, T> Drop for Ticket<I, T> {
    fn drop(&mut self) {
        let mut open = self.flights.0.lock();
        let Some(flight) = open.get_mut(&self.id) else {
            return;
        };
        if !flight.cancel.is(&self.cancel) {
            return;
        }
        flight.waiters.retain(|(seat, _)| *seat != self.seat);
        if flight.waiters.is_empty() {
            open.remove(&self.id);
            drop(open);
            self.cancel.cancel();
        }
    }
}
