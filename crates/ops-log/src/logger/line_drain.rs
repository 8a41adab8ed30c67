use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

use slog::KV;

use crate::Level;
use crate::pipeline::PipelineRef;
use crate::render::bound::BoundFields;
use crate::render::head::RecordMeta;
use crate::render::line::Line;

/// Lines of this crate as a drain for any `slog` logger: [`Logger::slog`](crate::Logger::slog), or
///
/// ```
/// let log = slog::Logger::root(ops_log::LineDrain::named("db"), slog::o!("pool" => 3));
/// slog::info!(log, "connected"; "host" => "localhost");
/// ```
///
/// slog passes fields newest first; they are put back in order, and if two have the same key, the newer one wins.
#[derive(Clone)]
pub struct LineDrain {
    pub(crate) handle: PipelineRef,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) bound: Option<Arc<BoundFields>>,
}

// shared state consists of atomics, and of locks that are released on a panic
impl UnwindSafe for LineDrain {}
impl RefUnwindSafe for LineDrain {}

impl LineDrain {
    pub(crate) fn new(handle: PipelineRef, name: Option<Arc<str>>) -> Self {
        Self {
            handle,
            name,
            bound: None,
        }
    }

    /// Returns a drain for lines of the logger with this name.
    pub fn named(name: &str) -> Self {
        Self::new(PipelineRef::Global, Some(name.into()))
    }

    /// Returns a drain for lines of the root logger.
    pub fn root() -> Self {
        Self::new(PipelineRef::Global, None)
    }

    /// Returns `true` if a line of this level from this module would be written.
    #[inline]
    pub(crate) fn enabled(&self, level: Level, module: &str) -> bool {
        // most disabled lines return here
        if !self.handle.levels.may_be_enabled(level) {
            return false;
        }
        match &self.name {
            Some(name) => self.handle.enabled(level, name, Some(module)),
            None => self.root_enabled(level, module),
        }
    }

    #[inline]
    fn root_enabled(&self, level: Level, module: &str) -> bool {
        self.handle.levels.decided(level).unwrap_or_else(|| {
            self.handle
                .service_is(|service| self.handle.enabled(level, module, service))
        })
    }

    pub(crate) fn write(&self, record: &slog::Record<'_>, fill: &mut dyn FnMut(&mut Line<'_>)) {
        let meta = RecordMeta {
            level: record.level().into(),
            logger: self.name.as_deref(),
            event: record.msg(),
            module: Some(record.module()),
            location: Some((record.file(), record.line())),
            always: false,
        };
        match &self.bound {
            Some(bound) => self.handle.write(&meta, &[bound], fill),
            None => self.handle.write(&meta, &[], fill),
        }
    }
}

impl slog::Drain for LineDrain {
    type Ok = ();
    type Err = slog::Never;

    #[inline]
    fn log(
        &self,
        record: &slog::Record<'_>,
        values: &slog::OwnedKVList,
    ) -> Result<(), slog::Never> {
        if self.enabled(record.level().into(), record.module()) {
            self.write(record, &mut |line| {
                line.newest_first();
                let _ = record.kv().serialize(record, line);
                let _ = values.serialize(record, line);
            });
        }
        Ok(())
    }

    fn is_enabled(&self, level: slog::Level) -> bool {
        self.handle.levels.may_be_enabled(level.into())
    }

    fn flush(&self) -> Result<(), slog::FlushError> {
        if self.handle.flush(crate::pipeline::FLUSH_BUDGET) {
            Ok(())
        } else {
            Err(slog::FlushError::Io(std::io::ErrorKind::TimedOut.into()))
        }
    }
}

impl fmt::Debug for LineDrain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineDrain")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
