//! The places that take lines.

pub(crate) mod drained;
pub(crate) mod sink;
pub(crate) mod stream;
