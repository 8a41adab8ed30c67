//! Metrics apart from those of the process, so that each test counts from 0.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

use crate::series::family::{Family, State};
use crate::series::guard::Limits;

/// Set once any scope was made: without one, the thread is not asked for its own.
static ANY: AtomicBool = AtomicBool::new(false);

thread_local! {
    static CURRENT: Cell<Option<&'static Scope>> = const { Cell::new(None) };
}

/// The series of all families, as one test sees them.
pub(crate) struct Scope {
    pub(crate) limits: &'static Limits,
    states: RwLock<HashMap<usize, &'static State>>,
}

/// Returns the scope that this thread is inside of.
#[inline]
pub(crate) fn current() -> Option<&'static Scope> {
    if ANY.load(Ordering::Relaxed) {
        CURRENT.get()
    } else {
        None
    }
}

/// Leaves the scope when dropped.
pub(crate) struct Entered(Option<&'static Scope>);

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

impl Scope {
    pub(crate) fn new() -> Self {
        ANY.store(true, Ordering::Relaxed);
        Self {
            limits: Box::leak(Box::new(Limits::new())),
            states: RwLock::default(),
        }
    }

    pub(crate) fn enter(&'static self) -> Entered {
        Entered(CURRENT.replace(Some(self)))
    }

    pub(crate) fn existing(&self, family: &Family) -> Option<&'static State> {
        self.states.read().get(&address(family)).copied()
    }

    pub(crate) fn state(&self, family: &'static Family) -> &'static State {
        if let Some(state) = self.existing(family) {
            return state;
        }
        let mut states = self.states.write();
        states
            .entry(address(family))
            .or_insert_with(|| Box::leak(Box::new(State::new(self.limits))))
    }
}

/// A family is a static of its own, so its address tells it from all others.
fn address(family: &Family) -> usize {
    std::ptr::from_ref(family).addr()
}
