//! Configuration, and the errors of its use.

pub(crate) mod config;
mod config_file;
pub(crate) mod error;
