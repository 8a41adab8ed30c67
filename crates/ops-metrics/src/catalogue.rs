use parking_lot::RwLock;

use crate::catalog::CATALOGUE;
use crate::family::Family;

static REGISTERED: RwLock<Vec<&'static Family>> = RwLock::new(Vec::new());

/// Adds a catalogue that [`define!`](crate::define) exported: its metrics are on `/metrics` from now on, with 0 where
/// all label values are known. A second registration of the same metrics changes nothing.
///
/// A metric that was not registered is rendered from its first use on. Of two metrics with one name the first is.
pub fn register(catalogue: &[fn() -> &'static Family]) {
    for family in catalogue {
        register_family(family());
    }
}

/// The families of all registered catalogues, in the order of registration.
pub fn all() -> Vec<&'static Family> {
    REGISTERED.read().clone()
}

pub(crate) fn find(name: &str) -> Option<&'static Family> {
    REGISTERED
        .read()
        .iter()
        .copied()
        .find(|family| family.definition().name == name)
}

pub(crate) fn register_built_in() {
    register(CATALOGUE);
}

pub(crate) fn register_family(family: &'static Family) {
    let mut registered = REGISTERED.write();
    if registered
        .iter()
        .any(|known| known.definition().name == family.definition().name)
    {
        return;
    }
    registered.push(family);
    drop(registered);
    family.zero();
}
