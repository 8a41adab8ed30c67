//! Steps of writing at which tests can inject a failure or end the process.

/// A step of writing, in order of execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(
    not(feature = "testing"),
    expect(unreachable_pub, reason = "only tests see it")
)]
pub enum Step {
    /// An empty draft exists.
    Created,
    /// Half of the columns are written.
    HalfWritten,
    /// The whole file is written, including the footer.
    Written,
    /// The file is synced to disk.
    Synced,
    /// The file has its final name.
    Named,
    /// The name is synced to disk.
    Published,
    /// The merged file has its final name; its sources still exist.
    Merged,
    /// One of the merged sources is removed.
    SourceRemoved,
}

#[cfg(feature = "testing")]
type Hook = std::sync::Arc<dyn Fn(Step) -> std::io::Result<()> + Send + Sync>;

/// Calls the hook at each [`Step`]; does nothing without the feature `testing`.
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
