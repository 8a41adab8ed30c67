//! One flight per query: the first caller leads it, concurrent callers wait for its result.

mod led;
mod watch;

pub(crate) use led::Led;

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use self::led::Wait;
use crate::cancel::Cancel;
use crate::sync::{AtomicBool, AtomicU64, Mutex};

/// Hash keys for the serials of places and of their results.
static SERIALS: OnceLock<RandomState> = OnceLock::new();

fn serial_of(of: impl Hash) -> u64 {
    SERIALS.get_or_init(RandomState::new).hash_one(of)
}

/// Callback that takes the result; `None` on timeout.
pub(crate) type Waiter<T> = Box<dyn FnOnce(Option<T>) + Send>;

/// Identity of a flight.
pub(crate) trait FlightId: Eq + Hash + Clone + Send + 'static {
    /// Returns the identity of the result. Flights to one result wait for each other where it is stored, so none of
    /// them may be waited for from within another one.
    fn result(&self) -> impl Hash;
}

/// Flights in progress.
pub(crate) struct Flights<I, T>(Arc<Shared<I, T>>);

struct Shared<I, T> {
    open: Mutex<HashMap<I, Flight<T>>>,
    /// Serial of the place of the results: one cache, or all caches of one directory.
    place: u64,
    /// Number of flights landed so far.
    landed: AtomicU64,
    /// Maximum time that a waiter waits, in milliseconds.
    limit: AtomicU64,
    /// `true` while a thread enforces the limit.
    is_watched: AtomicBool,
}

struct Flight<T> {
    cancel: Cancel,
    is_task: bool,
    next: u64,
    waiters: Vec<Seat<T>>,
}

struct Seat<T> {
    number: u64,
    since: Instant,
    waiter: Waiter<T>,
}

/// Role of a caller in the flight of its query.
pub(crate) enum Joined<I: Eq + Hash, T: Clone> {
    /// The first caller: produces the result.
    Leader(Leader<I, T>, Ticket<I, T>),
    /// Waits for the result.
    Waiter(Ticket<I, T>),
    /// Waiting would deadlock: the flight waits for this caller.
    Reentrant(Waiter<T>),
}

impl<I, T> Clone for Flights<I, T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<I: FlightId, T: Clone + Send + 'static> Flights<I, T> {
    /// Creates flights to results that no other cache has.
    pub(crate) fn new(limit: Duration) -> Self {
        Self::with(limit, RandomState::new().hash_one(()))
    }

    /// Creates flights to the results of a directory. Flights of other caches on it wait for the same files.
    pub(crate) fn to_directory(dir: &Path, limit: Duration) -> Self {
        Self::with(limit, serial_of(dir))
    }

    /// Creates further flights to the same results.
    pub(crate) fn to_same_results<J: FlightId, U: Clone + Send + 'static>(
        &self,
        limit: Duration,
    ) -> Flights<J, U> {
        Flights::with(limit, self.0.place)
    }

    fn with(limit: Duration, place: u64) -> Self {
        Self(Arc::new(Shared {
            open: Mutex::default(),
            place,
            landed: AtomicU64::new(0),
            limit: AtomicU64::new(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)),
            is_watched: AtomicBool::new(false),
        }))
    }

    #[cfg(feature = "testing")]
    pub(crate) fn set_limit(&self, limit: Duration) {
        let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.0.limit.store(millis, Ordering::Relaxed);
    }

    /// Returns the number of flights landed so far. If it is unchanged between two reads, no result arrived in between.
    pub(crate) fn landed(&self) -> u64 {
        self.0.landed.load(Ordering::Acquire)
    }

    /// Joins the flight of `id`. `fallback` is the result if the leader is dropped without one. A leader with `is_task`
    /// may need the thread of a caller that blocks.
    pub(crate) fn join(
        &self,
        id: I,
        is_task: bool,
        fallback: T,
        waiter: Waiter<T>,
    ) -> Joined<I, T> {
        self.join_as(id, is_task, fallback, |_| waiter)
    }

    /// [`join`](Self::join) with a waiter that is created once it is known if it waits for another caller.
    pub(crate) fn join_as(
        &self,
        id: I,
        is_task: bool,
        fallback: T,
        waiter: impl FnOnce(bool) -> Waiter<T>,
    ) -> Joined<I, T> {
        let led = Led::current();
        let serial = serial_of((self.0.place, id.result()));
        let mut open = self.0.open.lock();
        let found = open.get(&id);
        let is_first = found.is_none();
        let blocks_its_leader = found.is_some_and(|flight| flight.is_task)
            && !is_task
            && tokio::runtime::Handle::try_current().is_ok();
        let wait = match led.wait_for(serial) {
            Some(wait) if !blocks_its_leader => wait,
            _ => return Joined::Reentrant(waiter(false)),
        };
        let flight = open.entry(id.clone()).or_insert_with(|| Flight {
            cancel: Cancel::default(),
            is_task,
            next: 0,
            waiters: Vec::new(),
        });
        let number = flight.next;
        flight.next += 1;
        flight.waiters.push(Seat {
            number,
            since: Instant::now(),
            waiter: waiter(!is_first),
        });
        let ticket = Ticket {
            flights: self.clone(),
            id: id.clone(),
            number,
            cancel: flight.cancel.clone(),
            _wait: wait,
        };
        if is_first {
            let leader = Leader {
                flights: self.clone(),
                id,
                led: led.with(serial),
                cancel: flight.cancel.clone(),
                fallback,
            };
            return Joined::Leader(leader, ticket);
        }
        drop(open);
        self.watch();
        Joined::Waiter(ticket)
    }
}

/// Duty to land a flight. Dropped without a result, also by a panic, it lands with the fallback.
pub(crate) struct Leader<I: Eq + Hash, T: Clone> {
    flights: Flights<I, T>,
    id: I,
    led: Led,
    cancel: Cancel,
    fallback: T,
}

impl<I: Eq + Hash, T: Clone> Leader<I, T> {
    /// Returns the token that is cancelled once no caller waits any more.
    pub(crate) fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Returns the flights that the computation leads: this one, and those of its callers.
    pub(crate) fn led(&self) -> &Led {
        &self.led
    }

    /// Passes the result to all waiters. Later calls are ignored.
    pub(crate) fn land(&self, answer: &T) {
        let waiters = {
            let mut open = self.flights.0.open.lock();
            match open.get(&self.id) {
                Some(found) if found.cancel.is(&self.cancel) => {
                    self.flights.0.landed.fetch_add(1, Ordering::AcqRel);
                    open.remove(&self.id)
                }
                _ => None,
            }
        };
        for seat in waiters.into_iter().flat_map(|flight| flight.waiters) {
            (seat.waiter)(Some(answer.clone()));
        }
    }
}

impl<I: Eq + Hash, T: Clone> Drop for Leader<I, T> {
    fn drop(&mut self) {
        self.land(&self.fallback);
    }
}

/// A seat on a flight, given up on drop; a flight without seats is cancelled.
pub(crate) struct Ticket<I: Eq + Hash, T> {
    flights: Flights<I, T>,
    id: I,
    number: u64,
    cancel: Cancel,
    _wait: Wait,
}

impl<I: Eq + Hash, T> Drop for Ticket<I, T> {
    fn drop(&mut self) {
        let mut open = self.flights.0.open.lock();
        let Some(flight) = open.get_mut(&self.id) else {
            return;
        };
        if !flight.cancel.is(&self.cancel) {
            return;
        }
        flight.waiters.retain(|seat| seat.number != self.number);
        if flight.waiters.is_empty() {
            open.remove(&self.id);
            drop(open);
            self.cancel.cancel();
        }
    }
}
