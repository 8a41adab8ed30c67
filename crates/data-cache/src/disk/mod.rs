//! The tier of files. An entry is a data file, and a metadata file that makes it count once it has its name.
//!
//! ```text
//! dir/  CACHEDIR.TAG  FORMAT  generation  invalidations.jsonl
//!       v1/ab/<key>.json                        the commit point
//!       v1/ab/<key>.<entry id>.parquet | .arrow  never overwritten
//!       tmp/<id>.part
//! ```

mod buffers;
mod codec;
mod entry;
mod file;
mod ipc;
mod layout;
mod log;
mod metadata;
mod shared;
mod sweep;

pub(crate) use codec::{Decoded, Encoded, Format, encode};
pub(crate) use entry::{Found, ReadProblem};
pub(crate) use layout::unique_id;
pub(crate) use metadata::Metadata;
pub(crate) use shared::Exclusive;
pub(crate) use sweep::FileEntry;

use std::io;
use std::path::{Path, PathBuf};

use self::buffers::Buffers;
use self::ipc::Schemas;
use crate::config::Durability;
use crate::failpoint::Failpoints;

/// A directory of entries, which other processes may use at the same time. The cache knows nothing of files beyond these
/// calls, so that a tier shared between machines can have the same ones.
pub(crate) struct Disk {
    dir: PathBuf,
    durability: Durability,
    /// A data file larger than this is not ours.
    max_entry_bytes: u64,
    failpoints: Failpoints,
    buffers: Buffers,
    schemas: Schemas,
}

impl Disk {
    pub(crate) fn open(
        dir: &Path,
        durability: Durability,
        max_entry_bytes: u64,
        failpoints: Failpoints,
    ) -> io::Result<Self> {
        layout::prepare(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
            durability,
            max_entry_bytes,
            failpoints,
            buffers: Buffers::default(),
            schemas: Schemas::default(),
        })
    }
}
