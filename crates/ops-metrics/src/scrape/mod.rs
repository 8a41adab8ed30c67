//! From families to the response of `GET /metrics`.

mod accept;
pub(crate) mod body;
mod exposition;
mod hook;
mod lines;
mod preparation;
pub(crate) mod read;
pub(crate) mod render;
pub(crate) mod service;
#[cfg_attr(not(feature = "gzip"), path = "plain.rs")]
mod zipped;
