//! Rendering: from a record to the bytes of its line.

pub(crate) mod backtrace;
pub(crate) mod bound;
#[cfg(feature = "http")]
pub(crate) mod bound_pool;
pub(crate) mod callback;
pub(crate) mod console;
pub(crate) mod fields;
pub(crate) mod formatted;
pub(crate) mod head;
pub(crate) mod json_form;
pub(crate) mod key;
pub(crate) mod line;
pub(crate) mod line_buffers;
pub(crate) mod losses;
pub(crate) mod macro_fields;
pub(crate) mod nested;
pub(crate) mod raw;
pub(crate) mod scalars;
pub(crate) mod serialize;
pub(crate) mod short_field;
#[cfg(feature = "slog-json")]
pub mod slog_json;
pub(crate) mod static_key;
pub(crate) mod timestamp;
pub(crate) mod value;
