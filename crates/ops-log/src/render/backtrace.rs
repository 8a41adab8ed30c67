//! Errors with a backtrace.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::error::Error;

use crate::render::line::Line;
use crate::render::macro_fields::{AutorefValue, Common, FieldValue};
use crate::render::serialize::Chain;
use crate::render::static_key::StaticKey;

/// Error with a backtrace: `error = &e` writes it as `backtrace`, after the chain of causes.
///
/// The standard library has no stable way to get the backtrace of any error, so implement
/// this for your own error types. `anyhow::Error` needs the feature `anyhow`. Only a captured
/// backtrace is written: `RUST_BACKTRACE` or `RUST_LIB_BACKTRACE` enables capturing.
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
    /// Returns the backtrace of the error, if there is one.
    fn backtrace(&self) -> Option<&Backtrace>;
}

impl<T: Backtraced + ?Sized> Backtraced for &T {
    fn backtrace(&self) -> Option<&Backtrace> {
        (**self).backtrace()
    }
}

/// Error, written with the chain of its causes and its backtrace.
pub struct BacktracedValue<'a, T>(&'a T);

/// Selection of errors with a backtrace.
pub trait ViaBacktrace<'a> {
    /// Type of the value.
    type Target;
    /// Wraps the value.
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

/// Field for a backtrace, if it was captured.
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
