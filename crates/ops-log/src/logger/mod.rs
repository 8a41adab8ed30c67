pub(crate) mod line_drain;
mod macros;

use std::borrow::Cow;
use std::sync::LazyLock;

use crate::logger::line_drain::LineDrain;
use crate::pipeline::{Pipeline, PipelineRef};
use crate::render::bound::BoundFields;
use crate::render::head::RecordMeta;
use crate::render::macro_fields::FieldList;
use crate::{Level, Value};

/// Named logger: a `slog::Logger` whose drain writes the lines of this crate. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Logger {
    inner: slog::Logger<LineDrain>,
    /// The same drain, for functions of the macros that slog's logger lacks.
    drain: LineDrain,
}

static ROOT: LazyLock<Logger> =
    LazyLock::new(|| Logger::of(LineDrain::new(PipelineRef::Global, None)));

/// Returns a logger with this name.
pub fn get_logger(name: &str) -> Logger {
    Logger::of(LineDrain::named(name))
}

impl Logger {
    pub(crate) fn of(drain: LineDrain) -> Self {
        Self {
            inner: slog::Logger::root_typed(drain.clone(), slog::o!()),
            drain,
        }
    }

    /// Returns the root logger, which has the service's name.
    pub fn root() -> Self {
        ROOT.clone()
    }

    /// Returns a logger with this field on all of its lines; the field is rendered once.
    #[must_use]
    pub fn bind(&self, key: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        let bound = BoundFields::with(self.drain.bound.as_ref(), key.into(), value.into());
        Self::of(LineDrain {
            bound: Some(bound),
            ..self.drain.clone()
        })
    }

    /// Returns a logger without these fields; unbound keys are ignored.
    #[must_use]
    pub fn unbind<'a>(&self, keys: impl IntoIterator<Item = &'a str>) -> Self {
        let keys: Vec<&str> = keys.into_iter().collect();
        let bound = self.drain.bound.as_ref().map(|bound| {
            let kept = bound.pairs().iter();
            BoundFields::new(
                kept.filter(|(key, _)| !keys.contains(&key.as_ref()))
                    .cloned()
                    .collect(),
            )
        });
        Self::of(LineDrain {
            bound,
            ..self.drain.clone()
        })
    }

    /// Returns the name of the logger; `None` for the root logger.
    pub fn name(&self) -> Option<&str> {
        self.drain.name.as_deref()
    }

    /// Returns `true` if a line of this level would be written.
    #[inline]
    pub fn is_enabled(&self, level: Level) -> bool {
        self.drain.enabled(level, "")
    }

    /// Writes a line with fields that are known only at run time. The macros cost less.
    pub fn log(&self, level: Level, event: &str, fields: &[(&str, Value)]) {
        if !self.is_enabled(level) {
            return;
        }
        let meta = RecordMeta {
            level,
            logger: self.name(),
            event: &event,
            module: None,
            location: None,
            always: false,
        };
        let bound: Vec<_> = self.drain.bound.iter().collect();
        self.drain.handle.write(&meta, &bound, &mut |line| {
            for (key, value) in fields {
                line.value(key, value);
            }
        });
    }

    /// Returns a `slog` logger whose records become lines of this logger.
    pub fn slog(&self) -> slog::Logger {
        self.inner.to_erased()
    }

    #[doc(hidden)]
    #[inline]
    pub fn __enabled(&self, level: Level, module: &str) -> bool {
        self.drain.enabled(level, module)
    }

    #[doc(hidden)]
    #[inline]
    pub fn __log(&self, fields: &dyn FieldList, record: &slog::Record<'_>) {
        self.drain
            .write(record, &mut |line| fields.write(line, record));
    }
}

impl Pipeline {
    /// Returns the root logger of this pipeline.
    pub fn root(&self) -> Logger {
        Logger::of(LineDrain::new(self.0.clone(), None))
    }

    /// Returns a logger of this pipeline with this name.
    pub fn logger(&self, name: &str) -> Logger {
        Logger::of(LineDrain::new(self.0.clone(), Some(name.into())))
    }
}

impl From<&Logger> for slog::Logger {
    fn from(logger: &Logger) -> Self {
        logger.slog()
    }
}

/// Items for the macros.
#[doc(hidden)]
pub mod __private {
    pub use crate::context::ContextScope;
    pub use crate::render::backtrace::ViaBacktrace;
    pub use crate::render::macro_fields::{
        AutorefValue, FieldList, Formatted, List, ViaError, ViaNative, ViaSlog,
    };
    pub use crate::render::static_key::StaticKey;
    pub use slog;
    pub use std::borrow::Cow;

    use super::{Level, Logger, ROOT};

    #[inline]
    pub fn root_enabled(level: Level, module: &str) -> bool {
        crate::pipeline::GLOBAL
            .levels
            .decided(level)
            .unwrap_or_else(|| ROOT.__enabled(level, module))
    }

    #[inline]
    pub fn root() -> &'static Logger {
        &ROOT
    }
}
