//! Method names that may become labels and span names if no
//! router lists the methods: tonic's routes end in a wildcard.

use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};

/// Maximum number of methods that answered a call at least once; further ones stay unknown.
const MAX_ANSWERED: usize = 1024;

/// Maximum number of methods that only failed so far; further ones stay unknown. Clients can make up such names.
const MAX_FAILED: usize = 64;

#[derive(Debug, Default)]
struct Methods {
    /// By name; `true` once the method answered a call.
    names: HashMap<Box<str>, bool>,
    failed: usize,
}

static METHODS: LazyLock<RwLock<Methods>> = LazyLock::new(RwLock::default);

/// Returns `true` if the method answered a call before.
pub(crate) fn has_answered(name: &str) -> bool {
    let methods = METHODS.read().unwrap_or_else(PoisonError::into_inner);
    methods.names.get(name) == Some(&true)
}

/// Records a call that a service accepted, and returns `true` if its method is known.
pub(crate) fn record_call(name: &str, answered: bool) -> bool {
    let mut methods = METHODS.write().unwrap_or_else(PoisonError::into_inner);
    let Methods { names, failed } = &mut *methods;
    let before = names.get(name).copied();
    let has_room = names.len() - *failed < MAX_ANSWERED;
    match before {
        Some(true) => {}
        Some(false) if answered && has_room => {
            *failed -= 1;
            names.insert(name.into(), true);
        }
        Some(false) => {}
        None if answered && has_room => {
            names.insert(name.into(), true);
        }
        None if *failed < MAX_FAILED => {
            *failed += 1;
            names.insert(name.into(), false);
        }
        None => return false,
    }
    true
}
