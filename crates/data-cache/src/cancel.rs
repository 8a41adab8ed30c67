//! Cancellation of work that no caller waits for.

use std::fmt;
use std::sync::Arc;

use crate::sync::Mutex;

type Stop = Box<dyn FnOnce() + Send>;

/// Notifies an engine that no caller waits for the result any more.
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
    /// Returns `true` if no caller waits any more.
    pub fn is_cancelled(&self) -> bool {
        matches!(*self.0.lock(), State::Cancelled)
    }

    /// Runs `work`, during which `stop` may be called once, from another thread. Returns `None` without running `work`
    /// if already cancelled. After this returns, `stop` is neither running nor called later.
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
            // under the lock, so that the engine has not moved on to other work
            stop();
        }
    }

    /// Returns `true` while an engine works on it.
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
