//! Configuration, and the parts of a resolver that are built from it.

pub(crate) mod catalog;
mod checked;
pub(crate) mod config;
pub(crate) mod load;
#[cfg(feature = "yaml")]
mod yaml_marks;
