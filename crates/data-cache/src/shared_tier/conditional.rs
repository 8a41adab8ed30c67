//! Stores that ignore the condition of a write: each of two machines would hold the same lease.

use super::random::random_hex;
use super::store::{Failure, Store, Tag};

/// A note that stays in the bucket.
const NOTE: &str = "conditional";

/// Returns `true` if the store refuses to create what is there, and to replace what is not as expected.
pub(super) fn are_heeded(store: &dyn Store) -> Result<bool, Failure> {
    let write = |expected| store.write_if(NOTE, random_hex().into(), expected);
    // it is there from now on, of this or an earlier start
    let is_there = write(None)?.is_none();
    let of_nothing = Tag("\"00000000000000000000000000000000\"".to_owned());
    Ok((is_there || write(None)?.is_none()) && write(Some(&of_nothing))?.is_none())
}
