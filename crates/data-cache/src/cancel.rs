//! Stopping what nobody waits for.

use std::fmt;
use std::sync::Arc;

use crate::sync::Mutex;

type Stop = Box<dyn FnOnce() + Send>;

/// Tells an engine that nobody waits for an answer any more.
#[derive(Clone, Default)]
pub struct Cancel(Arc<Mutex<State>>);

#[derive(Default)]
enum State {
    #[default]
    Idle,
    Running(Stop),
    Cancelled,
}

impl Cancel {
    /// Returns `true` if nobody waits any more.
    pub fn is_cancelled(&self) -> bool {
        matches!(*self.0.lock(), State::Cancelled)
    }

    /// Runs `work`, during which `stop` may be called once, from another thread. `None` if it is too late to begin.
    /// After this returns `stop` is not called, nor is it running.
    pub fn while_running<T>(
        &self,
        stop: impl FnOnce() + Send + 'static,
        work: impl FnOnce() -> T,
    ) -> Option<T> {
        {
            let mut state = self.0.lock();
            if matches!(*state, State::Cancelled) {
                return None;
            }
            *state = State::Running(Box::new(stop));
        }
        let done = work();
        let mut state = self.0.lock();
        if matches!(*state, State::Running(_)) {
            *state = State::Idle;
        }
        Some(done)
    }

    pub(crate) fn cancel(&self) {
        let mut state = self.0.lock();
        if let State::Running(stop) = std::mem::replace(&mut *state, State::Cancelled) {
            // under the lock, so that the engine has not gone on to somebody else's work
            stop();
        }
    }

    /// Returns `true` while an engine is at work for it.
    #[cfg(feature = "testing")]
    pub(crate) fn is_running(&self) -> bool {
        matches!(*self.0.lock(), State::Running(_))
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancel")
            .field("cancelled", &self.is_cancelled())
            .finish()
    }
}
