//! Points of writing at which tests may fail it or end the process.

/// A step of writing, in the order in which they happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(
    not(feature = "testing"),
    expect(unreachable_pub, reason = "only tests see it")
)]
pub enum Step {
    /// A file without a name of its own is there, and empty.
    Created,
    /// Some of the columns are written.
    HalfWritten,
    /// All of it is written, the footer too.
    Written,
    /// It is on the disk.
    Synced,
    /// It has its name.
    Named,
    /// Its name is on the disk.
    Published,
    /// A file that was merged has its name, and those that are in it are there too.
    Merged,
    /// One of the files that were merged is removed.
    SourceRemoved,
}

#[cfg(feature = "testing")]
type Hook = std::sync::Arc<dyn Fn(Step) -> std::io::Result<()> + Send + Sync>;

/// Called at each [`Step`]; does nothing outside of tests.
#[derive(Clone, Default)]
pub(crate) struct Steps {
    #[cfg(feature = "testing")]
    hook: Option<Hook>,
}

impl Steps {
    #[cfg(feature = "testing")]
    pub(crate) fn new(hook: impl Fn(Step) -> std::io::Result<()> + Send + Sync + 'static) -> Self {
        Self {
            hook: Some(std::sync::Arc::new(hook)),
        }
    }

    #[cfg(feature = "testing")]
    pub(crate) fn at(&self, step: Step) -> std::io::Result<()> {
        self.hook.as_ref().map_or(Ok(()), |hook| hook(step))
    }

    #[cfg(not(feature = "testing"))]
    #[expect(clippy::unused_self, reason = "the interface of the tests")]
    pub(crate) fn at(&self, _: Step) -> std::io::Result<()> {
        Ok(())
    }
}
