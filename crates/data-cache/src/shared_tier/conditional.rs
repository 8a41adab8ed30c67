//! Detection of stores that ignore the condition of a write, where two machines could hold the same lease.

use super::random::random_hex;
use super::store::{Failure, Store, Tag};

/// Name of a note that stays in the bucket.
const NOTE: &str = "conditional";

/// Returns `true` if the store refuses to create an existing note, and to replace one that is not the expected one.
pub(super) fn supports_conditional_writes(store: &dyn Store) -> Result<bool, Failure> {
    let write = |expected| store.write_if(NOTE, random_hex().into(), expected);
    // it exists from now on, written by this or an earlier start
    let is_there = write(None)?.is_none();
    let of_nothing = Tag("\"00000000000000000000000000000000\"".to_owned());
    Ok((is_there || write(None)?.is_none()) && write(Some(&of_nothing))?.is_none())
}
