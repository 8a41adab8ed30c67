//! The last seconds of a process in a ring file that survives it, and how its last run ended.
//!
//! ```
//! # #[cfg(unix)]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::SystemTime;
//!
//! use ops_black_box::{Config, EndingKind};
//!
//! # let folder = tempfile::tempdir()?;
//! let config = Config::new(folder.path(), "shop");
//! let black_box = ops_black_box::open(&config).black_box?;
//! black_box.line(SystemTime::now(), br#"{"level":"info","event":"started"}"#);
//! drop(black_box); // as if the process had been killed
//!
//! let opened = ops_black_box::open(&config);
//! let last = opened.last_run.ok_or("there was a run")?;
//! assert_eq!(last.reading.ending.kind, EndingKind::Unknown);
//! assert!(last.reading.records[0].text.contains("started"));
//! # Ok(())
//! # }
//! # #[cfg(not(unix))]
//! # fn main() {}
//! ```
//!
//! # Guarantees
//!
//! - A record is in the file once [`BlackBox::record`] returns, and survives `kill -9`, an abort, or an OOM kill.
//!   After a power loss the file has what the kernel had written to the disk, usually all but the last 30 s.
//! - A record that was being written when the process died is detected
//!   by its checksum, and skipped. No record is read in part.
//! - Writing makes no system call and takes no lock of this crate (see below for what can still block it);
//!   threads write at the same time. A line of 200 bytes takes about 60 ns (`cargo bench -p ops-black-box`).
//! - The file has its full size from the start, mode 0600, and one
//!   writer at a time. A file that is not a black box is never changed.
//! - The cause of a run's end is reported only with evidence; otherwise it is [`EndingKind::Unknown`].
//! - The format ([`mod@format`]) is the same on every machine;
//!   [`read`] needs no service, and checks everything that it reads.
//!
//! # SIGBUS in the writing process
//!
//! If the file is truncated while it is mapped, the next record ends the process with SIGBUS: the kernel
//! offers no way to prevent that. Renaming and deleting do not harm the process, but the next run does
//! not find the file. The file needs no rotation: keep `logrotate` with `copytruncate` away from it.
//!
//! A page for which the file system finds no space, or that it cannot read, ends the process too. File
//! systems that need new space for each change, and network file systems, are therefore refused. Not
//! detected are: a copy of the file that shares its blocks (`cp --reflink` on XFS), or a snapshot below the
//! file system, if the disk fills up afterwards; a failing disk; and a refused file system below an overlay.
//!
//! # Blocking
//!
//! The first write to a page after the kernel wrote that page to the disk blocks while the file system is frozen
//! (`fsfreeze`, a snapshot), or until an overloaded one accepts pages again. On tmpfs (`/run`) this does not happen.
//!
//! # Errors
//!
//! [`Error`] names the file and the reason. A retry succeeds once the cause
//! is gone; apart from the missing black box the process is not affected.
//!
//! # When not to use it
//!
//! For more than a few seconds, or for data that must survive the loss of the
//! machine. Writing is for Unix, tested on Linux; reading works everywhere.

mod config;
mod error;
pub mod format;
mod machine;
mod read;
#[cfg(unix)]
mod write;

pub use config::{Config, RING_BYTES};
pub use error::{Error, ErrorKind};
pub use format::{Kind, MAX_RECORD_BYTES, MAX_RING_BYTES, MIN_RING_BYTES};
pub use read::{Ending, EndingKind, PanicReport, Reading, Record, read, read_here};
#[cfg(unix)]
pub use write::{BlackBox, LastRun, Opened, open};
