//! JSON lines read back: parsed, selected, followed through
//! rotation, printed for people. Unreadable lines are counted.
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

mod instant;
mod lines;
mod rotated;
mod selection;
mod sieve;
mod stored_line;
mod tail;
mod trace_id;

pub use instant::{ParseInstantError, parse_instant};
pub use lines::{Lines, MAX_STORED_LINE_BYTES};
pub use rotated::with_rotated;
pub use selection::Selection;
pub use sieve::{LeftOut, Sieve, Taken};
pub use stored_line::{ParseLineError, StoredLine, escaped};
pub use tail::Tail;
pub use trace_id::{ParseTraceIdError, TraceId};
