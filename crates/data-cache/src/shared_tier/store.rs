//! The calls that the tier needs of a store.

use bytes::Bytes;

use crate::key::Key;

/// An object that is larger is not ours, and a result that would be is not written.
pub(super) const MAX_OBJECT_BYTES: u64 = 64 << 20;

/// A place for objects that are written whole. Calls block, within a limit of their own.
pub(super) trait Store: Send + Sync + 'static {
    /// The result of this name; `None` if there is none.
    fn get(&self, key: &Key) -> Result<Option<Bytes>, Failure>;

    /// Writes the result of this name, whatever was there.
    fn put(&self, key: &Key, object: Bytes) -> Result<(), Failure>;

    /// Removes the result of this name, if it is there.
    fn forget(&self, key: &Key) -> Result<(), Failure>;

    /// Asks for something that need not be there.
    fn probe(&self) -> Result<(), Failure>;

    /// The note of this name, unless it is still the known one.
    fn look(&self, name: &str, known: Option<&Tag>) -> Result<Seen, Failure>;

    /// Writes a note if there is none, or if the one that is there is the expected one; `None` if it is not.
    fn write_if(
        &self,
        name: &str,
        note: Bytes,
        expected: Option<&Tag>,
    ) -> Result<Option<Tag>, Failure>;

    /// Removes a note, if it is there.
    fn remove(&self, name: &str) -> Result<(), Failure>;
}

/// The ETag of a note: another one after each write, as no two writes have the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag(pub(super) String);

/// A small object, by which machines agree.
pub(super) enum Seen {
    Absent,
    /// It is the known one.
    Same,
    Found(Bytes, Tag),
}

/// The store did not do what it was asked for.
pub(super) struct Failure {
    pub(super) text: String,
    /// A write that these credentials do not permit.
    pub(super) is_denied: bool,
    /// The store answers, but the object was too large for the time that it had.
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
        Self::new("no answer within 2 s")
    }
}

/// Kind of a request to the store.
#[derive(Clone, Copy)]
pub(super) enum Operation {
    Get,
    Put,
    /// A look at a note.
    Look,
    /// A change of a lease.
    Lease,
    /// An invalidation.
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
