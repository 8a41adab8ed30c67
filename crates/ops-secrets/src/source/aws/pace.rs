//! Limits on the requests to one service: in flight, and per second once the service throttled.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Maximum number of requests in flight to one service; further ones wait.
pub(crate) const MAX_IN_FLIGHT: usize = 8;
/// First pause between two requests after throttling: the default rate of Parameter Store.
const FIRST_INTERVAL: Duration = Duration::from_millis(25);
/// Maximum pause between two requests.
const MAX_INTERVAL: Duration = Duration::from_millis(250);
/// Minimum pause; a shorter one becomes zero.
const MIN_INTERVAL: Duration = Duration::from_millis(2);
/// Factor for the pause after each round of throttling. In a model of a token bucket that admits 40 requests per second,
/// 640 requests take 15 s, which is the minimum. With a factor of 1.5 they take 21 s, because 13 responses then
/// pass until the pause is back at the service's rate.
const SLOWER: f64 = 1.15;
/// Factor for the pause after each response.
const FASTER: f64 = 0.98;

/// Requests in flight, and the pause between two requests: longer
/// after each round of throttling, shorter after each response.
pub(crate) struct Pace {
    permits: Semaphore,
    state: Mutex<State>,
}

struct State {
    next: Instant,
    interval: Duration,
    /// Last time the pause was lengthened.
    slowed: Instant,
}

/// Permission for one request.
pub(crate) struct Turn<'a> {
    _permit: SemaphorePermit<'a>,
    /// Time at which the request is sent.
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

    /// Waits for a turn. `None` if the semaphore is closed, which never happens.
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

    /// Lengthens the pause after a throttled request. Requests that were in flight when the pause was
    /// lengthened are ignored: eight at once would triple it, and shortening it again takes seconds.
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
