//! Commands that answer and end.

pub mod cache;
pub mod completions;
pub mod logs;
pub mod orchestrate;
pub mod runs;
pub mod secrets;
