//! Commands other than `serve`, `doctor` and `healthcheck`.

pub mod black_box;
pub mod cache;
pub mod completions;
pub mod history;
pub mod logs;
pub mod orchestrate;
pub mod runs;
pub mod secrets;
pub mod sql;
