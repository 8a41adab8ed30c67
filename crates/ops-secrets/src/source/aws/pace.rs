//! Limits on the requests to one service: in flight, and per second once it asked for that.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Requests to one service at the same time; further ones wait.
pub(crate) const MAX_IN_FLIGHT: usize = 8;
/// First pause between two requests after the service asked for less: what Parameter Store takes by default.
const FIRST_INTERVAL: Duration = Duration::from_millis(25);
/// Longest pause between two requests.
const MAX_INTERVAL: Duration = Duration::from_millis(250);
/// Below this the pauses end.
const MIN_INTERVAL: Duration = Duration::from_millis(2);
/// Growth of the pause with each round of refusals. 640 requests at 40 a second take their 15 s in a model of a token bucket, and 21 s with
/// a factor of 1.5, since the way back below the service's rate takes 13 answers then.
const SLOWER: f64 = 1.15;
/// Change of the pause with each answer.
const FASTER: f64 = 0.98;

/// Requests in flight, and the pause between two of them: longer with each round of refusals, shorter with each answer.
pub(crate) struct Pace {
    permits: Semaphore,
    state: Mutex<State>,
}

struct State {
    next: Instant,
    interval: Duration,
    /// Moment at which the pause became longer.
    slowed: Instant,
}

/// Permission for one request.
pub(crate) struct Turn<'a> {
    _permit: SemaphorePermit<'a>,
    /// Moment at which the request is sent.
    pub(crate) sent: Instant,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self {
            permits: Semaphore::new(MAX_IN_FLIGHT),
            state: Mutex::new(State {
                next: Instant::now(),
                interval: Duration::ZERO,
                slowed: Instant::now(),
            }),
        }
    }

    /// Waits for a turn. `None` if the semaphore is closed, which nobody does.
    pub(crate) async fn turn(&self) -> Option<Turn<'_>> {
        let permit = self.permits.acquire().await.ok()?;
        let at = {
            let mut state = self.state.lock();
            let at = state.next.max(Instant::now());
            state.next = at + state.interval;
            at
        };
        if at > Instant::now() {
            tokio::time::sleep_until(at.into()).await;
        }
        Some(Turn {
            _permit: permit,
            sent: Instant::now(),
        })
    }

    /// Takes note of a request that was refused. Those that were under way when the pause became longer say nothing new: eight at
    /// once would make it twenty-five times as long, and the way back takes seconds.
    pub(crate) fn throttled(&self, sent: Instant) {
        let mut state = self.state.lock();
        if sent < state.slowed {
            return;
        }
        state.slowed = Instant::now();
        state.interval = state
            .interval
            .mul_f64(SLOWER)
            .clamp(FIRST_INTERVAL, MAX_INTERVAL);
    }

    pub(crate) fn answered(&self) {
        let mut state = self.state.lock();
        state.interval = state.interval.mul_f64(FASTER);
        if state.interval < MIN_INTERVAL {
            state.interval = Duration::ZERO;
        }
    }
}
