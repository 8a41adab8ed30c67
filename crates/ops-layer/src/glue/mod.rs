//! How each part is started, and what it is told about the others.

#[cfg(feature = "cache")]
mod cache;
#[cfg(feature = "log")]
mod log;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "secrets")]
mod secrets;
#[cfg(feature = "trace")]
mod trace;

#[cfg(feature = "cache")]
pub(crate) use cache::{cache, flush_cache};
#[cfg(feature = "log")]
pub(crate) use log::log;
#[cfg(feature = "metrics")]
pub(crate) use metrics::{metrics, publish};
#[cfg(feature = "secrets")]
pub(crate) use secrets::secrets;
#[cfg(feature = "trace")]
pub(crate) use trace::trace;
