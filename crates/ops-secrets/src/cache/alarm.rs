//! Timeouts for futures on any executor, or without one: one thread per process wakes them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use std::{io, process, thread};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::caught::caught;

/// Maximum wait for the list of alarms. The lock is held only briefly, unless a fork copied it while it was held.
const LOCK: Duration = Duration::from_millis(100);

static ALARMS: Mutex<Alarms> = Mutex::new(Alarms {
    due: BinaryHeap::new(),
    process: 0,
});
static CHANGED: Condvar = Condvar::new();

struct Alarms {
    due: BinaryHeap<Reverse<Due>>,
    /// Process that runs the alarm thread; zero before the first alarm.
    process: u32,
}

struct Due(Instant, Weak<Mutex<Option<Waker>>>);

/// Time limit of a future's wait.
pub(crate) struct Alarm {
    at: Instant,
    waker: Option<Arc<Mutex<Option<Waker>>>>,
}

impl Alarm {
    pub(crate) fn new(at: Instant) -> Self {
        Self { at, waker: None }
    }

    pub(crate) fn at(&self) -> Instant {
        self.at
    }

    /// Returns ready once the time limit has passed. If the alarm
    /// thread cannot be started, only another wake-up notices it.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.at {
            return Poll::Ready(());
        }
        match &self.waker {
            Some(waker) => *waker.lock() = Some(cx.waker().clone()),
            None => {
                let waker = Arc::new(Mutex::new(Some(cx.waker().clone())));
                match set(self.at, &waker) {
                    Ok(()) => self.waker = Some(waker),
                    Err(error) => {
                        caught(
                            || tracing::error!(target: "ops_secrets", %error, "secret_alarm_thread_failed"),
                        );
                    }
                }
            }
        }
        Poll::Pending
    }
}

fn set(at: Instant, waker: &Arc<Mutex<Option<Waker>>>) -> io::Result<()> {
    let Some(mut alarms) = ALARMS.try_lock_for(LOCK) else {
        return Err(io::Error::other(
            "timed out waiting for the lock on the alarm list",
        ));
    };
    if alarms.process != process::id() {
        thread::Builder::new()
            .name("ops-secrets-alarm".into())
            .spawn(|| ring(ALARMS.lock()))?;
        alarms.process = process::id();
        alarms.due.clear();
    }
    alarms.due.push(Reverse(Due(at, Arc::downgrade(waker))));
    CHANGED.notify_one();
    Ok(())
}

fn ring(mut alarms: MutexGuard<'static, Alarms>) {
    loop {
        let now = Instant::now();
        match alarms.due.peek() {
            None => CHANGED.wait(&mut alarms),
            Some(Reverse(Due(at, waker))) if *at > now => {
                let at = *at;
                if waker.strong_count() == 0 {
                    alarms.due.pop(); // its future ended before the limit
                } else {
                    CHANGED.wait_until(&mut alarms, at);
                }
            }
            Some(_) => {
                let due = alarms.due.pop();
                MutexGuard::unlocked(&mut alarms, || wake(due.map(|Reverse(due)| due)));
            }
        }
    }
}

fn wake(due: Option<Due>) {
    let waker = due.and_then(|Due(_, waker)| waker.upgrade()?.lock().take());
    if let Some(waker) = waker {
        // a waker belongs to a foreign executor; its panic must not cost other futures their timeout
        caught(|| waker.wake());
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
