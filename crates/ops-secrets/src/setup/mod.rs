//! From a configuration to a resolver's parts.

pub(crate) mod catalog;
pub(crate) mod config;
pub(crate) mod load;
