//! One set of metrics: that of the process, or that of a test, which starts at 0.

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

/// Registered metrics, their limits and refusals.
pub(crate) struct Scope {
    pub(crate) limits: Limits,
    pub(crate) registered: RwLock<Registered>,
    pub(crate) refusals: Refusals,
    /// States of a test; those of the process are in the families.
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

    /// Returns the scope of the test that this thread runs in, or else the process's.
    #[inline]
    pub(crate) fn current() -> &'static Self {
        #[cfg(feature = "testing")]
        if let Some(scope) = test::current() {
            return scope;
        }
        Self::process()
    }

    /// Returns true inside a test's scope.
    pub(crate) fn is_of_test() -> bool {
        !std::ptr::eq(Self::current(), Self::process())
    }
}

#[cfg(feature = "testing")]
impl Scope {
    /// Creates a scope with the catalogs of the process, and all values at 0.
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

/// Returns the address of a family, which identifies it because a family lives as long as the process.
#[cfg(feature = "testing")]
fn address(family: &Family) -> usize {
    std::ptr::from_ref(family).addr()
}

/// Scope of the test that a thread runs in.
#[cfg(feature = "testing")]
pub(crate) mod test {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::Scope;

    /// True once a scope was created: before that, the thread-local variable is not read.
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
