//! The steps of a write at which tests may make it fail or stop.

/// A step of storing an entry, in the order in which they happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(
    not(feature = "testing"),
    expect(unreachable_pub, reason = "only tests see it")
)]
pub enum Step {
    /// Half of the data is in the temporary file.
    DataHalfWritten,
    /// All of the data is in the temporary file.
    DataWritten,
    /// The data has its final name.
    DataNamed,
    /// The metadata is in its temporary file.
    MetadataWritten,
    /// The metadata has its final name: the entry is there.
    Committed,
    /// A change is in the journal, and does not count yet.
    Journaled,
    /// A journal that was written anew has its name, and does not count yet.
    JournalRenamed,
    /// The data of the entry that was replaced is gone.
    OldDataRemoved,
    /// An invalidation is written down, and does not count yet.
    OrderWritten,
    /// An invalidation, or the removal of its files, is about to be on the disk for good (`durability: full`).
    Synced,
    /// An invalidation is announced: nobody serves what it means. Nothing is deleted yet.
    InvalidationAnnounced,
    /// An entry is about to be deleted.
    RemovalBegun,
    /// The metadata of an entry is deleted, its data not yet.
    MetadataRemoved,
}

#[cfg(feature = "testing")]
type Hook = std::sync::Arc<dyn Fn(Step) -> std::io::Result<()> + Send + Sync>;

/// Called at each [`Step`]; does nothing outside of tests.
#[derive(Clone, Default)]
pub(crate) struct Failpoints {
    #[cfg(feature = "testing")]
    hook: std::sync::Arc<parking_lot::RwLock<Option<Hook>>>,
}

impl Failpoints {
    #[cfg(feature = "testing")]
    pub(crate) fn set(&self, hook: impl Fn(Step) -> std::io::Result<()> + Send + Sync + 'static) {
        *self.hook.write() = Some(std::sync::Arc::new(hook));
    }

    #[cfg(feature = "testing")]
    pub(crate) fn at(&self, step: Step) -> std::io::Result<()> {
        let hook = self.hook.read().clone();
        hook.map_or(Ok(()), |hook| hook(step))
    }

    #[cfg(not(feature = "testing"))]
    pub(crate) fn at(&self, _: Step) -> std::io::Result<()> {
        Ok(())
    }
}
