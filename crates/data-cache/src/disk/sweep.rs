//! Contents of the directory, and leftovers of writers that died.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::file::open_regular;
use super::{Disk, Metadata, NoMetadata};
use crate::key::Key;

/// Minimum age of leftovers to be removed; younger ones may belong to a living writer.
const ORPHAN_AGE: Duration = Duration::from_secs(3600);

/// An entry as listed in the directory.
pub(crate) struct FileEntry {
    pub(crate) key: Key,
    /// Bytes of data and metadata.
    pub(crate) bytes: u64,
    /// Time of last use according to the files, in milliseconds since 1970.
    pub(crate) used: u64,
}

impl Disk {
    /// Returns `true` if the directory was removed.
    pub(crate) fn is_gone(&self) -> bool {
        use std::io::ErrorKind::{NotADirectory, NotFound};

        let found = fs::symlink_metadata(self.entries_dir());
        found.is_err_and(|error| matches!(error.kind(), NotFound | NotADirectory))
    }

    /// Returns `false` if there certainly is no entry of this key; needs no file descriptor, which may be unavailable.
    pub(crate) fn may_hold(&self, key: &Key) -> bool {
        use std::io::ErrorKind::{NotADirectory, NotFound};

        let found = fs::symlink_metadata(self.metadata_path(key));
        !found.is_err_and(|error| matches!(error.kind(), NotFound | NotADirectory))
    }

    /// Returns `true` if there never was an entry.
    pub(super) fn is_empty(&self) -> bool {
        fs::read_dir(self.entries_dir()).is_ok_and(|mut folders| folders.next().is_none())
    }

    /// Returns the keys with a metadata file, and an error if the directory could not be listed completely.
    pub(crate) fn keys(&self) -> (Vec<Key>, io::Result<()>) {
        let key = |path: PathBuf| {
            let name = path.file_name()?.to_str()?;
            Key::from_hex(name.strip_suffix(".json")?)
        };
        let (mut keys, mut listed) = (Vec::new(), Ok(()));
        for path in self.files() {
            match path {
                Ok(path) => keys.extend(key(path)),
                Err(error) => listed = listed.and(Err(error)),
            }
        }
        (keys, listed)
    }

    /// Time of last use according to the files, in milliseconds since 1970.
    pub(crate) fn last_used(&self, metadata: &Metadata) -> u64 {
        fs::symlink_metadata(self.data_file(metadata)).map_or(0, |file| modified_millis(&file))
    }

    fn data_file(&self, metadata: &Metadata) -> PathBuf {
        match metadata.is_inline {
            true => self.metadata_path(&metadata.key),
            false => self.data_path(metadata),
        }
    }

    /// Iterates over the files of entries: a list of their names would take more memory than the index.
    fn files(&self) -> impl Iterator<Item = io::Result<PathBuf>> {
        paths_in(self.entries_dir()).flat_map(|dir| {
            let (failed, dir) = match dir {
                Ok(dir) => (None, Some(dir)),
                Err(error) => (Some(Err(error)), None),
            };
            failed.into_iter().chain(dir.into_iter().flat_map(paths_in))
        })
    }

    /// Returns the entries with their sizes, without reading metadata,
    /// and an error if the directory could not be listed completely.
    pub(crate) fn entries(&self) -> (Vec<FileEntry>, io::Result<()>) {
        let mut found: HashMap<Key, FileEntry> = HashMap::new();
        let mut listed = Ok(());
        for path in self.files() {
            let path = match path {
                Ok(path) => path,
                Err(error) => {
                    listed = listed.and(Err(error));
                    continue;
                }
            };
            let key = path
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(|name| Key::from_hex(name.split('.').next()?));
            let (Some(key), Ok(file)) = (key, fs::symlink_metadata(&path)) else {
                continue;
            };
            let entry = found.entry(key).or_insert(FileEntry {
                key,
                bytes: 0,
                used: 0,
            });
            entry.bytes += allocated(&file);
            entry.used = entry.used.max(modified_millis(&file));
        }
        (found.into_values().collect(), listed)
    }

    /// Marks an entry as used for other processes, by the modification time of its data file.
    pub(crate) fn mark_used(&self, metadata: &Metadata, millis: u64) {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        if let Ok(Some((file, _))) = open_regular(&self.data_file(metadata)) {
            let _ = file.set_modified(at);
        }
    }

    /// Removes temporary files and data without metadata that are older than an hour.
    pub(crate) fn remove_orphans(&self) {
        let temporary = fs::read_dir(self.temporary_dir())
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path());
        let data = self.files().flatten().filter(|path| self.is_orphan(path));
        for path in temporary.chain(data) {
            let old = fs::symlink_metadata(&path)
                .and_then(|file| file.modified())
                .is_ok_and(|at| at.elapsed().is_ok_and(|age| age > ORPHAN_AGE));
            if old {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// Returns `true` for a data file that no metadata refers to.
    fn is_orphan(&self, path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str());
        let Some((key, rest)) = name.and_then(|name| name.split_once('.')) else {
            return true;
        };
        if rest == "json" {
            return false;
        }
        match Key::from_hex(key).map(|key| self.metadata(&key)) {
            Some(Ok(metadata)) => metadata.is_inline || self.data_path(&metadata) != path,
            Some(Err(NoMetadata::Denied | NoMetadata::Unknown(_))) => false,
            Some(Err(_)) | None => true,
        }
    }
}

/// Returns the paths in a directory; none if it does not exist, or is not a directory.
fn paths_in(folder: PathBuf) -> impl Iterator<Item = io::Result<PathBuf>> {
    use io::ErrorKind::{NotADirectory, NotFound};

    let (paths, failed) = match fs::read_dir(&folder) {
        Ok(paths) => (Some(paths), None),
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => (None, None),
        Err(error) => {
            let named = format!("{}: {error}", folder.display());
            (None, Some(Err(io::Error::new(error.kind(), named))))
        }
    };
    let paths = paths.into_iter().flatten();
    failed
        .into_iter()
        .chain(paths.map(|entry| entry.map(|entry| entry.path())))
}

/// Bytes of the blocks allocated to a file.
#[cfg(unix)]
fn allocated(file: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(file) * 512
}

#[cfg(not(unix))]
fn allocated(file: &fs::Metadata) -> u64 {
    file.len().next_multiple_of(4096)
}

fn modified_millis(file: &fs::Metadata) -> u64 {
    let since = file
        .modified()
        .ok()
        .and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
