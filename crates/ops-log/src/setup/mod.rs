//! Configuration and its errors.

pub(crate) mod config;
mod config_file;
pub(crate) mod error;
