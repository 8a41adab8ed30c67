//! From families to the answer of `GET /metrics`.

mod accept;
pub(crate) mod exposition;
pub(crate) mod read;
pub(crate) mod render;
pub(crate) mod service;
pub(crate) mod shared_render;
