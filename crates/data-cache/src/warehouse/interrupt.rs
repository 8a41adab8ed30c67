//! Reliable interrupts: DuckDB ignores one that comes before the statement begins.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use duckdb::{Connection, InterruptHandle};
use parking_lot::{Condvar, Mutex};

/// Interval between two interrupts.
const PACE: Duration = Duration::from_millis(10);

/// A run that can be interrupted until it has ended.
#[derive(Clone)]
pub(super) struct Interrupt(Arc<Run>);

struct Run {
    handle: Arc<InterruptHandle>,
    has_ended: Mutex<bool>,
    ended: Condvar,
}

impl Interrupt {
    pub(super) fn of(connection: &Connection) -> Self {
        Self(Arc::new(Run {
            handle: connection.interrupt_handle(),
            has_ended: Mutex::new(false),
            ended: Condvar::new(),
        }))
    }

    /// Interrupts the run now, and repeatedly from another thread until it has ended.
    pub(super) fn stop(self) {
        {
            let has_ended = self.0.has_ended.lock();
            if *has_ended {
                return;
            }
            self.0.handle.interrupt();
        }
        let named = thread::Builder::new().name("data-cache-stop".to_owned());
        let again = named.spawn(move || {
            let mut has_ended = self.0.has_ended.lock();
            while !*has_ended {
                self.0.handle.interrupt();
                self.0.ended.wait_for(&mut has_ended, PACE);
            }
        });
        // if no thread can be started, the first interrupt has to suffice
        drop(again);
    }

    /// Ends the run: from here on no interrupt reaches the connection, which is used for other work.
    pub(super) fn end(&self) {
        *self.0.has_ended.lock() = true;
        self.0.ended.notify_all();
    }
}
