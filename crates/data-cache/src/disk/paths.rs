//! Names of an entry's files.

use std::path::PathBuf;

use super::{Disk, Metadata};
use crate::key::Key;

impl Disk {
    /// Returns the path of the directory without links.
    pub(crate) fn place(&self) -> PathBuf {
        self.dir.canonicalize().unwrap_or_else(|_| self.dir.clone())
    }

    pub(super) fn metadata_path(&self, key: &Key) -> PathBuf {
        self.entry_path(key, &["json"])
    }

    /// Returns the path of the data, built from key and id, never taken from a file.
    pub(super) fn data_path(&self, metadata: &Metadata) -> PathBuf {
        let extension = metadata.codec.extension();
        self.entry_path(&metadata.key, &[&metadata.entry_id, extension])
    }

    /// Returns the path `v1/ab/<key>.<endings>`, joined in one step: each hit needs two of them.
    fn entry_path(&self, key: &Key, endings: &[&str]) -> PathBuf {
        let name = key.to_string();
        let mut below = String::with_capacity(128);
        for part in ["v1/", &name[..2], "/", &name] {
            below.push_str(part);
        }
        for ending in endings {
            below.push('.');
            below.push_str(ending);
        }
        self.dir.join(below)
    }
}
