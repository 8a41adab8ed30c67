//! JSON lines read back: parsed, selected, followed through rotation, shown as lines for people.
//!
//! ```
//! use ops_log::reader::{Selection, StoredLine};
//! use ops_log::Level;
//!
//! let text = r#"{"timestamp":"2025-01-15T10:30:00.123Z","level":"error","event":"save_failed","attempt":3}"#;
//! let line = StoredLine::parse(text)?;
//! assert!(Selection::new().level(Level::Warning).matches(&line));
//! assert_eq!(line.to_string(), "2025-01-15 10:30:00 [error    ] save_failed  attempt=3");
//! # Ok::<(), ops_log::reader::ParseLineError>(())
//! ```

mod selection;
mod stored_line;
mod tail;

pub use selection::Selection;
pub use stored_line::{ParseLineError, StoredLine, escaped};
pub use tail::{MAX_STORED_LINE_BYTES, Tail, with_rotated};
