//! Sampled once a second: the sparklines, the process and the tokio runtime.

pub(crate) mod interval;
pub(crate) mod process;
pub(crate) mod runtime;
pub(crate) mod sparkline;
