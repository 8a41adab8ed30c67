//! Steps of a write at which tests can inject a failure or a crash.

/// Steps of storing and removing entries, in the order in which they happen.
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
    /// The metadata has its final name: the entry exists.
    Committed,
    /// A change is in the journal but not yet in effect.
    Journaled,
    /// A rewritten journal has its final name but is not yet in effect.
    JournalRenamed,
    /// The data of the replaced entry is removed.
    OldDataRemoved,
    /// An invalidation is written but not yet in effect.
    OrderWritten,
    /// An invalidation, or the removal of its files, is about to be fsynced (`durability: full`).
    Synced,
    /// An invalidation is announced: no process serves its entries. Nothing is deleted yet.
    InvalidationAnnounced,
    /// An entry is about to be deleted.
    RemovalBegun,
    /// The metadata of an entry is deleted, its data is not.
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
