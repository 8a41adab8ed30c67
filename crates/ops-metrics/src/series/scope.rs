//! One set of metrics: that of the process, or that of a test, which counts from 0.

#[cfg(feature = "testing")]
use std::collections::HashMap;
use std::sync::LazyLock;

use parking_lot::RwLock;

#[cfg(feature = "testing")]
use crate::series::family::{Family, State};
use crate::series::guard::Limits;
use crate::series::refusals::Refusals;
use crate::series::registry::Registered;

static PROCESS: LazyLock<Scope> = LazyLock::new(|| Scope::with(Registered::default()));

/// The registered metrics, their limits and what was refused.
pub(crate) struct Scope {
    pub(crate) limits: Limits,
    pub(crate) registered: RwLock<Registered>,
    pub(crate) refusals: Refusals,
    /// States of a test; the process's are in the families themselves.
    #[cfg(feature = "testing")]
    states: RwLock<HashMap<usize, &'static State>>,
}

impl Scope {
    fn with(registered: Registered) -> Self {
        Self {
            limits: Limits::default(),
            registered: RwLock::new(registered),
            refusals: Refusals::default(),
            #[cfg(feature = "testing")]
            states: RwLock::default(),
        }
    }

    pub(crate) fn process() -> &'static Self {
        &PROCESS
    }

    /// Returns the scope of the test that this thread is inside of, else the process's.
    #[inline]
    pub(crate) fn current() -> &'static Self {
        #[cfg(feature = "testing")]
        if let Some(scope) = test::current() {
            return scope;
        }
        Self::process()
    }

    /// Returns true inside of a test's scope.
    pub(crate) fn is_of_test() -> bool {
        !std::ptr::eq(Self::current(), Self::process())
    }
}

#[cfg(feature = "testing")]
impl Scope {
    /// Makes a scope that has the catalogs of the process, with all values at 0.
    pub(crate) fn new() -> Self {
        test::enable();
        Self::with(Self::process().registered.read().of_catalogs())
    }

    pub(crate) fn existing(&self, family: &Family) -> Option<&'static State> {
        self.states.read().get(&address(family)).copied()
    }

    pub(crate) fn state(&'static self, family: &'static Family) -> &'static State {
        if let Some(state) = self.existing(family) {
            return state;
        }
        let mut states = self.states.write();
        states
            .entry(address(family))
            .or_insert_with(|| Box::leak(Box::new(State::new(&self.limits, family.definition()))))
    }
}

/// A family lives as long as the process, so its address tells it from all others.
#[cfg(feature = "testing")]
fn address(family: &Family) -> usize {
    std::ptr::from_ref(family).addr()
}

/// The scope of the test that a thread is inside of.
#[cfg(feature = "testing")]
pub(crate) mod test {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::Scope;

    /// Set once any scope was made: without one, the thread is not asked for its own.
    static ANY: AtomicBool = AtomicBool::new(false);

    thread_local! {
        static CURRENT: Cell<Option<&'static Scope>> = const { Cell::new(None) };
    }

    pub(super) fn enable() {
        ANY.store(true, Ordering::Relaxed);
    }

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

    pub(crate) fn enter(scope: &'static Scope) -> Entered {
        Entered(CURRENT.replace(Some(scope)))
    }

    impl Drop for Entered {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
}
