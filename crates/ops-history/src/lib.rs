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
//! - Offering a record blocks only while another one is copied into memory. At most [`QUEUE_BYTES`] wait.
//! - Every record offered is written, dropped or waiting, and [`Stats`] has the exact number of each.
//! - A file gets its name once all of it is on disk: `kill -9` at any moment leaves no partial file and no duplicate
//!   row. Records offered within the last ten seconds may be lost with the process.
//! - A full disk, or one with little free space, stops the history and nothing else. Writing resumes once there is
//!   space; records offered meanwhile are dropped and counted.
//! - Files that are torn, forged or of another version are ignored, reported with the reason, and not changed.
//! - A step of the wall clock removes nothing.
//! - A statement of `sql::query` reads the files of the history and nothing else, and writes nothing.
//!
//! The README lists the tables and their columns.
//!
//! # Errors
//!
//! [`Error`] names the file or directory and the reason.
//!
//! # Feature flags
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `s3` | no | histories in an S3 bucket: fetch them to query them, and export them |
//! | `sql` | no | SQL queries over the files, run by DuckDB |
//! | `testing` | no | clocks for tests, and a hook to inject failures at each step of writing |
//!
//! # When not to use it
//!
//! To replace a log store: a history covers one machine and one day.

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
