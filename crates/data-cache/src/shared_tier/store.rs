//! The calls that the tier needs of a store.

use bytes::Bytes;

use crate::key::Key;

/// An object that is larger is not ours, and a result that would be is not written.
pub(super) const MAX_OBJECT_BYTES: u64 = 64 << 20;

/// A place for objects that are written whole. Calls block, within a limit of their own.
pub(super) trait Store: Send + Sync + 'static {
    /// The object of this name; `None` if there is none.
    fn get(&self, key: &Key) -> Result<Option<Bytes>, Failure>;

    /// Writes the object of this name, whatever was there.
    fn put(&self, key: &Key, object: Bytes) -> Result<(), Failure>;

    /// Asks for something that need not be there.
    fn probe(&self) -> Result<(), Failure>;
}

/// The store did not do what it was asked for.
pub(super) struct Failure(pub(super) String);
