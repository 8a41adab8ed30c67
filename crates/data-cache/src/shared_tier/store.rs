//! Operations that the tier needs of a store.

use bytes::Bytes;

use crate::key::Key;

/// Maximum size of an object: a larger result is not written, and a larger object is refused.
pub(super) const MAX_OBJECT_BYTES: u64 = 64 << 20;

/// A store of objects that are written as a whole. Calls block, within their own time limit.
pub(super) trait Store: Send + Sync + 'static {
    /// Returns the result of this name; `None` if there is none.
    fn get(&self, key: &Key) -> Result<Option<Bytes>, Failure>;

    /// Writes the result of this name, replacing any other.
    fn put(&self, key: &Key, object: Bytes) -> Result<(), Failure>;

    /// Removes the result of this name, if it exists.
    fn forget(&self, key: &Key) -> Result<(), Failure>;

    /// Requests an object that need not exist.
    fn probe(&self) -> Result<(), Failure>;

    /// Reads the note of this name, unless it is still the known one.
    fn read_note(&self, name: &str, known: Option<&Tag>) -> Result<Seen, Failure>;

    /// Writes a note if there is none, or if the existing one is
    /// the expected one; `None` if that condition does not hold.
    fn write_if(
        &self,
        name: &str,
        note: Bytes,
        expected: Option<&Tag>,
    ) -> Result<Option<Tag>, Failure>;

    /// Removes a note, if it exists.
    fn remove(&self, name: &str) -> Result<(), Failure>;
}

/// ETag of a note; it changes with each write, since no two writes have the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag(pub(super) String);

/// Result of reading a note, a small object by which machines coordinate.
pub(super) enum Seen {
    Absent,
    /// Still the known one.
    Same,
    Found(Bytes, Tag),
}

/// Failure of a call to the store.
pub(super) struct Failure {
    pub(super) text: String,
    /// `true` for a write that these credentials do not permit.
    pub(super) is_denied: bool,
    /// `true` if the store responds, but the object could not be transferred within its timeout.
    pub(super) is_too_large: bool,
}

impl Failure {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            is_denied: false,
            is_too_large: false,
        }
    }

    pub(super) fn late() -> Self {
        Self::new("no response within 2 s")
    }
}

/// Kind of call to the store.
#[derive(Clone, Copy)]
pub(super) enum Operation {
    Get,
    Put,
    /// Read of a note.
    Look,
    /// Change of a lease.
    Lease,
    /// Invalidation.
    Epoch,
    Probe,
}

impl Operation {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Look => "look",
            Self::Lease => "lease",
            Self::Epoch => "epoch",
            Self::Probe => "probe",
        }
    }

    pub(super) fn is_write(self) -> bool {
        !matches!(self, Self::Get | Self::Look)
    }
}
