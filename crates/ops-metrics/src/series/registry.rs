use std::collections::HashMap;

use parking_lot::RwLock;

use crate::series::family::Family;

static REGISTERED: RwLock<Registered> = RwLock::new(Registered {
    order: Vec::new(),
    by_name: None,
});

struct Registered {
    order: Vec<&'static Family>,
    by_name: Option<HashMap<&'static str, &'static Family>>,
}

/// Adds a catalog that [`define!`](crate::define) exported: its metrics are on `/metrics` from now on, with 0 where
/// all label values are known. A second registration of the same metrics changes nothing.
///
/// A metric that was not registered is rendered from its first use on. Of two metrics with one name the first is.
pub fn register(catalog: &[fn() -> &'static Family]) {
    for family in catalog {
        register_family(family());
    }
}

/// The families of all registered catalogs, in the order of registration.
pub fn families() -> Vec<&'static Family> {
    REGISTERED.read().order.clone()
}

pub(crate) fn find(name: &str) -> Option<&'static Family> {
    let registered = REGISTERED.read();
    registered.by_name.as_ref()?.get(name).copied()
}

pub(crate) fn register_family(family: &'static Family) {
    if owns_name(family) {
        // again for each registry: what is 0 in one may not be there in another
        family.zero();
    }
}

/// Says whether it is this family that has the name.
fn owns_name(family: &'static Family) -> bool {
    let name = family.definition().name;
    if let Some(known) = find(name) {
        return std::ptr::eq(known, family);
    }
    let mut registered = REGISTERED.write();
    let names = registered.by_name.get_or_insert_default();
    if let Some(known) = names.get(name) {
        return std::ptr::eq(*known, family);
    }
    names.insert(name, family);
    registered.order.push(family);
    true
}
