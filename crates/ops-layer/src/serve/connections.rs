use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use super::activity::Activity;

/// Minimum time without a request before a connection is closed to make room: its request may be on its way.
const FRESH: Duration = Duration::from_millis(50);

/// Stage of the server that its connections follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) enum Phase {
    Serving,
    /// Requests are answered, and clients are asked to leave: `Connection: close`, GOAWAY.
    Draining,
    /// Connections without a request are closed.
    Closing,
}

/// Open connections of one listener.
#[derive(Clone, Debug)]
pub(super) struct Connections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    slots: Mutex<Slots>,
    left: Notify,
    phase: watch::Sender<Phase>,
}

#[derive(Debug, Default)]
struct Slots {
    next: u64,
    open: HashMap<u64, Arc<Slot>>,
}

/// One open connection.
#[derive(Debug)]
pub(super) struct Slot {
    id: u64,
    since: Instant,
    activity: Mutex<Activity>,
    evicted: Notify,
    task: OnceLock<AbortHandle>,
    /// The protocol was switched, for example to WebSocket: its requests are not waited for.
    upgraded: AtomicBool,
    /// A limit was reached: the client gets no more time.
    abandoned: AtomicBool,
    /// The time limit for requests has passed.
    is_cut_off: AtomicBool,
    connections: Connections,
}

impl Connections {
    pub(super) fn new() -> Self {
        Self(Arc::new(Shared {
            slots: Mutex::default(),
            left: Notify::new(),
            phase: watch::Sender::new(Phase::Serving),
        }))
    }

    /// Adds a new connection. It leaves when its stream is dropped.
    pub(super) fn enter(&self) -> Arc<Slot> {
        let mut slots = self.slots();
        let id = slots.next;
        slots.next += 1;
        let now = Instant::now();
        let slot = Arc::new(Slot {
            id,
            since: now,
            activity: Mutex::new(Activity::new(now)),
            evicted: Notify::new(),
            task: OnceLock::new(),
            upgraded: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            is_cut_off: AtomicBool::new(false),
            connections: self.clone(),
        });
        slots.open.insert(id, slot.clone());
        slot
    }

    pub(super) fn len(&self) -> usize {
        self.slots().open.len()
    }

    /// Returns the number of connections that cannot make room (those with a request, and
    /// those that switched the protocol), and the time since the oldest of them was accepted.
    pub(super) fn busy(&self) -> (usize, Duration) {
        let slots = self.slots();
        let busy = slots.open.values();
        let busy = busy.filter(|slot| slot.quiet_since().is_none());
        let ages = busy.map(|slot| slot.since.elapsed());
        ages.fold((0, Duration::ZERO), |(count, oldest), age| {
            (count + 1, oldest.max(age))
        })
    }

    /// Closes the connection that has been without a request longest; `false` if there is none to close.
    pub(super) fn evict_oldest_idle(&self) -> bool {
        let slots = self.slots();
        let quiet = slots.open.values().filter_map(|slot| {
            let since = slot.quiet_since()?;
            (since.elapsed() >= FRESH).then_some((since, slot))
        });
        match quiet.min_by_key(|(since, _)| *since) {
            Some((_, slot)) => {
                slot.evicted.notify_one();
                true
            }
            None => false,
        }
    }

    /// Waits until a connection has left.
    pub(super) async fn one_left(&self) {
        self.0.left.notified().await;
    }

    /// Waits until every connection has left, except those that switched the protocol.
    pub(super) async fn all_left(&self) {
        loop {
            let left = self.0.left.notified();
            tokio::pin!(left);
            left.as_mut().enable();
            if self.waited_for() == 0 {
                return;
            }
            left.await;
        }
    }

    /// Returns the number of connections that still use HTTP.
    fn waited_for(&self) -> usize {
        let slots = self.slots();
        let waited_for = |slot: &&Arc<Slot>| !slot.is_upgraded();
        slots.open.values().filter(waited_for).count()
    }

    /// Ends every open connection; returns the number of those whose client waits for something.
    pub(super) fn cut_off(&self) -> usize {
        let slots: Vec<_> = self.slots().open.values().cloned().collect();
        let waiting = |slot: &&Arc<Slot>| !slot.is_upgraded() && !slot.activity().may_close();
        let waiting = slots.iter().filter(waiting).count();
        for slot in &slots {
            slot.is_cut_off.store(true, Ordering::Relaxed);
            if let Some(task) = slot.task.get() {
                task.abort();
            }
        }
        waiting
    }

    pub(super) fn phase(&self) -> watch::Receiver<Phase> {
        self.0.phase.subscribe()
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.0.phase.send_replace(phase);
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    pub(super) fn activity(&self) -> MutexGuard<'_, Activity> {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the start of the time without a request; `None` while
    /// one is in flight, and after a switch to another protocol.
    pub(super) fn quiet_since(&self) -> Option<Instant> {
        let activity = self.activity();
        activity.quiet_since().filter(|_| !self.is_upgraded())
    }

    fn is_upgraded(&self) -> bool {
        self.upgraded.load(Ordering::Relaxed)
    }

    pub(super) fn is_closing(&self) -> bool {
        *self.connections.0.phase.borrow() == Phase::Closing
    }

    pub(super) fn is_draining(&self) -> bool {
        *self.connections.0.phase.borrow() >= Phase::Draining
    }

    /// Waits until the connection has to make room for another one.
    pub(super) async fn evicted(&self) {
        self.evicted.notified().await;
    }

    /// Marks that the client gets no time to read a last response.
    pub(super) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    /// Returns whether its requests are given up by the server, not by their client.
    pub(super) fn is_cut_off(&self) -> bool {
        self.is_cut_off.load(Ordering::Relaxed)
    }

    /// Returns whether the client may still be reading a response.
    pub(super) fn lingers(&self) -> bool {
        !self.abandoned.load(Ordering::Relaxed) && self.activity().requests() > 0
    }

    pub(super) fn set_task(&self, task: AbortHandle) {
        // set only once, when the connection is spawned
        let _ = self.task.set(task);
    }

    /// Marks that the stream has another owner, if it outlives the connection.
    pub(super) fn upgraded(&self) {
        self.upgraded.store(true, Ordering::Relaxed);
        self.connections.0.left.notify_waiters();
        self.connections.0.left.notify_one();
    }

    pub(super) fn leave(&self) {
        self.connections.slots().open.remove(&self.id);
        self.connections.0.left.notify_waiters();
        self.connections.0.left.notify_one();
    }
}
