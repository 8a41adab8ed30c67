//! The parts: start, observation of requests, carrying of context, and end of each one.
//!
//! A part that is compiled out has a module with the same interface in `absent`; only this file chooses between them.

#[cfg(any(feature = "black-box", feature = "history"))]
use std::ffi::OsStr;

#[cfg_attr(not(feature = "black-box"), path = "absent/black_box.rs")]
pub(crate) mod black_box;
#[cfg_attr(not(feature = "cache"), path = "absent/cache.rs")]
pub(crate) mod cache;
#[cfg_attr(not(feature = "history"), path = "absent/history.rs")]
pub(crate) mod history;
#[cfg_attr(not(feature = "log"), path = "absent/log.rs")]
pub(crate) mod log;
#[cfg_attr(not(feature = "metrics"), path = "absent/metrics.rs")]
pub(crate) mod metrics;
#[cfg_attr(not(feature = "secrets"), path = "absent/secrets.rs")]
pub(crate) mod secrets;
#[cfg(feature = "cache")]
#[cfg_attr(not(feature = "shared"), path = "absent/shared.rs")]
mod shared;
#[cfg_attr(not(feature = "trace"), path = "absent/trace.rs")]
pub(crate) mod trace;

#[cfg(feature = "otlp-metrics")]
mod otlp_metrics;

#[cfg(not(all(feature = "log", feature = "trace")))]
mod carried;
#[cfg(not(all(
    feature = "black-box",
    feature = "cache",
    feature = "history",
    feature = "log",
    feature = "metrics",
    feature = "secrets",
    feature = "trace"
)))]
mod left_out;
#[cfg(not(all(feature = "log", feature = "trace", feature = "metrics")))]
mod unobserved;

/// Returns the place of a part that is off by default: that of the variable if it is set, otherwise that of the
/// file. The text `off` disables the part, an empty one counts as unset, and white space around them is ignored.
#[cfg(any(feature = "black-box", feature = "history"))]
fn place(variable: &str, in_file: Option<std::path::PathBuf>) -> Option<std::path::PathBuf> {
    let is_text = |place: &OsStr, text: &str| {
        let place = place.to_str().map(str::trim);
        place.is_some_and(|place| place.eq_ignore_ascii_case(text))
    };
    let in_environment = std::env::var_os(variable).filter(|place| !is_text(place, ""));
    let place = in_environment.or(in_file.map(Into::into))?;
    let is_none = is_text(&place, "") || is_text(&place, "off");
    (!is_none).then(|| place.into())
}
