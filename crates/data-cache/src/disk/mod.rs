//! The file tier. An entry consists of metadata, which is committed by renaming its file to the final name, and data:
//! behind the metadata in the same file if it is small, else in a separate file.
//!
//! ```text
//! dir/  CACHEDIR.TAG  FORMAT  generation  orders  journal  invalidations.jsonl
//!       v1/ab/<key>.json                         the commit point: a line of JSON; data of at most 16 KiB follows
//!       v1/ab/<key>.<entry id>.parquet | .arrow  larger data; never overwritten
//!       tmp/<id>.part
//! ```

mod buffers;
mod codec;
mod entry;
mod file;
mod ipc;
mod journal;
mod key_lock;
mod layout;
mod log;
mod metadata;
mod orders;
mod paths;
mod shared;
mod sweep;

#[cfg(feature = "shared")]
pub(crate) use codec::decode;
pub(crate) use codec::{Decoded, Encoded, Format, encode};
pub(crate) use entry::{Found, ReadProblem, Which};
#[cfg(feature = "duckdb")]
pub(crate) use file::open_regular;
pub(crate) use journal::{Change, Listed, Tail, shared_tables};
pub(crate) use key_lock::{KeyLock, KeyTurn};
pub(crate) use layout::unique_id;
use layout::unique_number;
pub(crate) use metadata::{Metadata, NoMetadata};
pub(crate) use orders::{MAX_ORDER_BYTES, Order};
use shared::CountFile;
pub(crate) use shared::{DirectoryState, Exclusive, Generation};
pub(crate) use sweep::FileEntry;

use std::io;
use std::path::{Path, PathBuf};

use self::buffers::Buffers;
use self::ipc::Schemas;
use self::journal::Journal;
use crate::config::Durability;
use crate::failpoint::Failpoints;

/// Maximum size in bytes of data that is stored behind its metadata in one file.
const MAX_INLINE_BYTES: usize = 16 << 10;

/// Maximum time that stores and lookups wait for the directory lock.
pub(crate) const LOCK_LIMIT: std::time::Duration = std::time::Duration::from_secs(1);

/// A directory of entries, which other processes may use at the
/// same time. The cache accesses files only through these calls.
pub(crate) struct Disk {
    dir: PathBuf,
    durability: Durability,
    /// A data file larger than this is not read.
    max_entry_bytes: u64,
    failpoints: Failpoints,
    buffers: Buffers,
    schemas: Schemas,
    journal: Journal,
    count_file: CountFile,
    #[cfg(feature = "testing")]
    max_inline_bytes: std::sync::atomic::AtomicUsize,
}

impl Disk {
    pub(crate) fn open(
        dir: &Path,
        durability: Durability,
        max_entry_bytes: u64,
        idle_bytes: usize,
        failpoints: Failpoints,
    ) -> io::Result<Self> {
        // the working directory of the process may change
        let dir = std::path::absolute(dir)?;
        layout::open(&dir)?;
        let disk = Self {
            dir,
            durability,
            max_entry_bytes,
            failpoints,
            buffers: Buffers::new(idle_bytes),
            schemas: Schemas::default(),
            journal: Journal::default(),
            count_file: CountFile::default(),
            #[cfg(feature = "testing")]
            max_inline_bytes: MAX_INLINE_BYTES.into(),
        };
        // a directory that cannot be written is used read-only
        let _ = disk.exclusive(LOCK_LIMIT);
        Ok(disk)
    }

    /// Returns the invalidation count; recreates the directory if it was removed.
    pub(crate) fn generation_or_new(&self) -> Option<Generation> {
        self.generation().or_else(|| {
            layout::prepare(&self.dir).ok()?;
            self.exclusive(LOCK_LIMIT).ok()?.generation().ok()
        })
    }

    #[cfg(feature = "testing")]
    pub(crate) fn set_max_inline_bytes(&self, bytes: usize) {
        let bytes = bytes.min(MAX_INLINE_BYTES);
        self.max_inline_bytes
            .store(bytes, std::sync::atomic::Ordering::Relaxed);
    }

    #[cfg(feature = "testing")]
    fn max_inline_bytes(&self) -> usize {
        self.max_inline_bytes
            .load(std::sync::atomic::Ordering::Relaxed)
    }

    #[cfg(not(feature = "testing"))]
    fn max_inline_bytes(&self) -> usize {
        MAX_INLINE_BYTES
    }
}
