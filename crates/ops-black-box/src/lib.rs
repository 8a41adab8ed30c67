//! The last seconds of a process in a ring file that outlives it, and how its last run ended.
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
//! - What [`BlackBox::record`] wrote before it returned is in the file after `kill -9`, an abort, or a kill for want of memory. After
//!   a power loss it holds what the kernel had written to the disk, usually all but the last 30 s.
//! - A record that was being written when the process died is recognized by its checksum, and skipped. No record is read in part.
//! - Writing makes no system call and takes no lock of this crate (what can block it all the same: see below); threads write at the same time. A line of 200 bytes takes less than 60 ns
//!   (`cargo bench -p ops-black-box`).
//! - The file has its full size from the start, mode 0600, and one writer at a time. A file that is no black box is never
//!   touched.
//! - How a run ended is said if there is evidence, and [`EndingKind::Unknown`] otherwise.
//! - The format ([`mod@format`]) is the same on every machine; [`read`] needs no service, and checks all that it reads.
//!
//! # What ends a process that writes
//!
//! If somebody truncates the file while it is mapped, the next record ends the process with SIGBUS: the kernel offers no
//! way to prevent that. Renaming and deleting it harms no process, but the next run finds nothing. Keep it out of reach of `logrotate` with `copytruncate`: it needs no
//! rotation.
//!
//! So does a page for which the file system finds no space or that it cannot read: file systems that need new space for each change, and
//! those of other machines, are refused. Not noticed are a copy of the file that shares its blocks (`cp --reflink` on XFS) or a snapshot
//! below the file system, if the disk is full afterwards; a disk that fails; and such a file system below an overlay.
//!
//! # What blocks who writes
//!
//! Whoever writes the first record to a page since the kernel last wrote it to the disk waits if the file system is frozen (`fsfreeze`,
//! a snapshot), and until it takes pages again if it is overloaded. On tmpfs (`/run`) nothing of this happens.
//!
//! # Errors
//!
//! [`Error`] names the file and the reason. A retry helps once the cause is gone; the process is as well as without a black box.
//!
//! # When not to use it
//!
//! For more than some seconds, or for anything that has to survive the loss of the machine. Writing is for Unix, tested on
//! Linux; reading works everywhere.

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
