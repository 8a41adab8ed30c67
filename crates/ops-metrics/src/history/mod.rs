//! Samples taken once a second: the sparklines, the process and the tokio runtime.

pub(crate) mod cgroup;
pub(crate) mod interval;
pub(crate) mod panics;
pub(crate) mod process;
pub(crate) mod routes;
pub(crate) mod runtime;
pub(crate) mod sparkline;
pub(crate) mod ticker;
