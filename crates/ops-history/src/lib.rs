//! The last day of a service as Parquet files: log lines, spans and metric samples, and SQL over them.
//!
//! ```
//! # #[cfg(feature = "sql")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::{Duration, SystemTime};
//!
//! use ops_history::{Config, History, sql};
//!
//! # let folder = tempfile::tempdir()?;
//! # let dir = folder.path();
//! let history = History::open(Config::new(dir, "shop"))?;
//! history.line(SystemTime::now(), br#"{"level":"info","event":"started","port":8000}"#);
//! history.close(Duration::from_secs(5));
//!
//! let answer = sql::query(&[dir], "SELECT body, attributes FROM logs", &sql::Limits::default())?;
//! assert_eq!(answer.rows[0][0], r#""started""#);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "sql"))]
//! # fn main() {}
//! ```
//!
//! # Guarantees
//!
//! - Whoever offers a record waits for nothing but the copy of another one into memory. At most [`QUEUE_BYTES`] wait.
//! - Every record that was offered is written, dropped or waiting, and [`Stats`] has the exact number of each.
//! - A file has its name once it is on the disk as a whole: `kill -9` at any moment leaves no half file, and no row twice. What was
//!   offered within the last ten seconds may be lost with the process.
//! - A full disk, or one with little space left, stops the history and nothing else. It goes on once there is space; what was
//!   offered meanwhile is counted as dropped.
//! - Files that are torn, forged, or of another version are left out with their reason, and left alone.
//! - A wall clock that steps removes nothing.
//! - A statement of `sql::query` reads the files of the history and nothing else, and writes nothing.
//!
//! The tables and their columns stand in the README.
//!
//! # Errors
//!
//! [`Error`] names the file or directory and the reason.
//!
//! # Feature flags
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `s3` | no | files in a bucket of S3: copied here to be asked, and there to be kept |
//! | `sql` | no | questions to the files in SQL, by DuckDB |
//! | `testing` | no | clocks of tests, and steps at which they fail |
//!
//! # When not to use it
//!
//! In place of a log store: it is of one machine, and holds a day.

mod archive;
mod config;
mod error;
mod file;
#[cfg(feature = "s3")]
pub mod s3;
#[cfg(feature = "sql")]
pub mod sql;
mod step;
mod table;
mod write;

pub use archive::{Held, Inventory, Moved, export, inventory, prune};
pub use config::{Config, MAX_AGE, MAX_BYTES, MAX_LINE_BYTES, MIN_BYTES, QUEUE_BYTES};
pub use error::{Error, ErrorKind};
#[cfg(feature = "testing")]
pub use step::Step;
pub use table::{SCHEMA_VERSION, Table};
pub use write::{Counts, History, Sample, SampleValue, Span, Stats};
