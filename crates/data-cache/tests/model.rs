//! The flight in every interleaving of its threads: the source of the crate itself, on the primitives of loom.
#![expect(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "not all of the source is asked here"
)]

#[path = "../src/cancel.rs"]
mod cancel;
#[path = "../src/flight/mod.rs"]
mod flight;

/// Replacements for the names of `src/sync.rs`.
mod sync {
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64};
    pub(crate) use loom::thread_local;

    #[derive(Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner())
        }
    }

    /// No thread can be started: limits of waiting are not part of the model.
    pub(crate) fn spawn(_: &str, _: impl FnOnce() + Send + 'static) -> bool {
        false
    }
}

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flight::{FlightId, Flights, Joined};
use loom::sync::{Condvar, Mutex};
use loom::thread;

impl FlightId for u8 {
    fn result(&self) -> impl std::hash::Hash {
        *self
    }
}

/// Number of runs of the whole model, and of results in them.
#[derive(Default)]
struct Counts {
    orders: AtomicUsize,
    led: AtomicUsize,
    waited: AtomicUsize,
}

/// Behavior of one thread.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// Leads if it is first, and lands a result; otherwise waits for the result.
    Answer,
    /// Leads if it is first, and is dropped without a result, as by a panic; otherwise waits.
    Fail,
    /// Leaves at once, whatever its role is.
    GoAway,
}

const FALLBACK: u32 = 0;

/// Joins a flight with a given behavior; checks what it receives, and how often.
fn play(flights: &Flights<u8, u32>, part: Part, counts: &Counts) {
    let answers = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
    let given = answers.clone();
    let waiter = Box::new(move |answer: Option<u32>| {
        given.0.lock().unwrap().push(answer);
        given.1.notify_all();
    });
    let answered = || answers.0.lock().unwrap().clone();
    match flights.join(7, false, FALLBACK, waiter) {
        Joined::Leader(leader, ticket) => {
            counts.led.fetch_add(1, Ordering::Relaxed);
            match part {
                Part::Answer => {
                    assert!(!leader.cancel().is_cancelled(), "its own seat is taken");
                    leader.land(&1);
                    assert_eq!(answered(), [Some(1)]);
                    // a second result reaches no waiter
                    drop(leader);
                    assert_eq!(answered(), [Some(1)]);
                }
                Part::Fail => {
                    drop(leader);
                    assert_eq!(answered(), [Some(FALLBACK)]);
                }
                Part::GoAway => {
                    // cancelled, unless another thread joined and waits
                    drop(ticket);
                    drop(leader);
                    assert_eq!(answered(), [], "nobody answers who went away");
                }
            }
        }
        Joined::Waiter(ticket) => {
            counts.waited.fetch_add(1, Ordering::Relaxed);
            if matches!(part, Part::GoAway) {
                drop(ticket);
                assert!(answered().len() <= 1);
                return;
            }
            // an interleaving without a result is a deadlock, which loom reports
            let mut given = answers.0.lock().unwrap();
            while given.is_empty() {
                given = answers.1.wait(given).unwrap();
            }
            drop(given);
            assert_eq!(answered().len(), 1);
            drop(ticket);
        }
        Joined::Reentrant(_) => unreachable!("nobody leads what it joins"),
    }
}

fn explore(parts: [Part; 3]) {
    let counts = Arc::new(Counts::default());
    let all = counts.clone();
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        all.orders.fetch_add(1, Ordering::Relaxed);
        let flights = Flights::new(Duration::from_secs(1));
        let threads: Vec<_> = parts[1..]
            .iter()
            .map(|part| {
                let (flights, part, all) = (flights.clone(), *part, all.clone());
                thread::spawn(move || play(&flights, part, &all))
            })
            .collect();
        play(&flights, parts[0], &all);
        for thread in threads {
            thread.join().unwrap();
        }
        // nothing is left: the next caller leads
        let waiter = Box::new(|_| {});
        assert!(matches!(
            flights.join(7, false, FALLBACK, waiter),
            Joined::Leader(..)
        ));
    });
    let count = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    let (orders, led, waited) = (
        count(&counts.orders),
        count(&counts.led),
        count(&counts.waited),
    );
    println!("{parts:?}: {orders} orders, {led} led, {waited} waited");
    assert!(orders > 100 && led >= orders && waited > 0);
}

#[test]
fn everybody_who_waits_is_answered_once() {
    explore([Part::Answer, Part::Answer, Part::Answer]);
}

#[test]
fn waiters_of_a_lost_leader_get_the_fallback() {
    explore([Part::Fail, Part::Answer, Part::Fail]);
}

#[test]
fn callers_that_go_away_keep_nobody_waiting() {
    explore([Part::GoAway, Part::Answer, Part::GoAway]);
    explore([Part::GoAway, Part::GoAway, Part::Fail]);
}
