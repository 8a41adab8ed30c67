//! Errors that know where they arose.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::error::Error;

use crate::render::line::Line;
use crate::render::macro_fields::{AutorefValue, Common, FieldValue};
use crate::render::serialize::Chain;
use crate::render::static_key::StaticKey;

/// An error with a backtrace: `error = &e` writes it as `backtrace`, behind the chain of causes.
///
/// The standard library has no stable way to ask any error for its backtrace, so that an error type of one's own says so here.
/// `anyhow::Error` needs the feature `anyhow`. A backtrace that was not captured is not written: `RUST_BACKTRACE` or
/// `RUST_LIB_BACKTRACE` decides.
///
/// ```
/// use std::backtrace::Backtrace;
/// # use std::{error, fmt};
/// #[derive(Debug)]
/// struct SaveFailed(Backtrace);
/// # impl fmt::Display for SaveFailed {
/// #     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str("save failed") }
/// # }
/// # impl error::Error for SaveFailed {}
///
/// impl ops_log::Backtraced for SaveFailed {
///     fn backtrace(&self) -> Option<&Backtrace> {
///         Some(&self.0)
///     }
/// }
///
/// let error = SaveFailed(Backtrace::force_capture());
/// let lines = ops_log::capture_logs(|| ops_log::error!("not_saved", error = &error));
/// assert_eq!(lines[0]["error"], "save failed");
/// assert!(lines[0].get("backtrace").is_some());
/// ```
pub trait Backtraced: Error {
    /// Returns the backtrace of where the error arose, if there is one.
    fn backtrace(&self) -> Option<&Backtrace>;
}

impl<T: Backtraced + ?Sized> Backtraced for &T {
    fn backtrace(&self) -> Option<&Backtrace> {
        (**self).backtrace()
    }
}

/// An error, written with the chain of its causes and its backtrace.
pub struct BacktracedValue<'a, T>(&'a T);

/// Chooses errors with a backtrace.
pub trait ViaBacktrace<'a> {
    /// The type behind the reference.
    type Target;
    /// Takes it.
    fn encode_kind(&self) -> BacktracedValue<'a, Self::Target>;
}

impl<'a, T: Backtraced> ViaBacktrace<'a> for &&&AutorefValue<'a, T> {
    type Target = T;

    #[inline(always)]
    fn encode_kind(&self) -> BacktracedValue<'a, T> {
        BacktracedValue(self.0)
    }
}

impl<T: Backtraced> FieldValue for BacktracedValue<'_, T> {
    fn put(&self, key: &'static StaticKey, line: &mut Line<'_>, _: &slog::Record<'_>) {
        line.put_arguments(key, &format_args!("{}", Chain(self.0)));
        if let Some(backtrace) = self.0.backtrace() {
            captured(backtrace, line);
        }
    }
}

#[cfg(feature = "anyhow")]
impl Common for anyhow::Error {
    fn put(&self, key: &'static StaticKey, line: &mut Line<'_>) {
        line.put_arguments(key, &format_args!("{}", Chain(&**self)));
        captured(self.backtrace(), line);
    }
}

/// A field for a backtrace, if it was captured.
impl Common for Backtrace {
    fn put(&self, key: &'static StaticKey, line: &mut Line<'_>) {
        if self.status() == BacktraceStatus::Captured {
            line.put_arguments(key, &format_args!("{self}"));
        }
    }
}

fn captured(backtrace: &Backtrace, line: &mut Line<'_>) {
    backtrace.put(const { &StaticKey::new("backtrace") }, line);
}
