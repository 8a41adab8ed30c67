//! `<file>.version`: the ids of a database file, valid while the file is the one they were written for.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::versions::{Ids, Versions};
use crate::disk::{open_regular, unique_id};
use crate::key::hex;

/// Bytes of DuckDB's three header blocks, which contain the number of checkpoints.
const HEADERS: u64 = 3 * 4096;
/// Maximum number of bytes read; a larger sidecar was not written by this crate.
const MAX_BYTES: u64 = 4 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sidecar {
    format: u32,
    /// [`fingerprint`] of the file that the ids belong to.
    file: String,
    data_version: String,
    tables: BTreeMap<String, String>,
}

/// Returns length, times, inode and headers of the file, and length, times and inode of its log; `None` without a file.
pub(super) fn fingerprint(path: &Path) -> Option<String> {
    let mut headers = Vec::new();
    let file = File::open(path).ok()?;
    file.take(HEADERS).read_to_end(&mut headers).ok()?;
    let mut log = path.as_os_str().to_owned();
    log.push(".wal");
    let log = describe(Path::new(&log)).unwrap_or_default();
    let digest = hex(&Sha256::digest(&headers)[..16]);
    Some(format!("{} {digest} / {log}", describe(path)?))
}

/// Device and inode of a file: a different file has different ones, whatever its name.
pub(super) type FileId = (u64, u64);

/// Returns the id of the file at this path; `None` without a file.
pub(super) fn file_id(path: &Path) -> Option<FileId> {
    let metadata = fs::metadata(path).ok()?;
    #[cfg(unix)]
    let id = {
        use std::os::unix::fs::MetadataExt;
        (metadata.dev(), metadata.ino())
    };
    #[cfg(not(unix))]
    let id = (u64::from(metadata.is_file()), 0);
    Some(id)
}

fn describe(path: &Path) -> Option<String> {
    let metadata = fs::metadata(path).ok()?;
    let changed = metadata.modified().ok()?;
    let since = changed.duration_since(std::time::UNIX_EPOCH).ok()?;
    #[cfg(unix)]
    let identity = {
        use std::os::unix::fs::MetadataExt;
        // a copy over the file may preserve the modification time, but not this change time
        format!(
            "{} {}.{}",
            metadata.ino(),
            metadata.ctime(),
            metadata.ctime_nsec()
        )
    };
    #[cfg(not(unix))]
    let identity = 0;
    Some(format!(
        "{} {} {identity}",
        metadata.len(),
        since.as_nanos()
    ))
}

/// Returns the ids of a file that this process has exclusively from now on. `before` is its fingerprint from before it
/// was opened, and is ignored if the opened file is unknown.
pub(super) fn versions_of_own(
    path: &Path,
    before: Option<&str>,
    opened: Option<FileId>,
) -> Versions {
    let known = opened.and(before);
    let known = known.and_then(|before| known_ids(path, before));
    let versions = known.map_or_else(Versions::fresh, Versions::with);
    // opening may replay a log, and no other process can write
    let now = fingerprint(path);
    if read(path).is_none_or(|sidecar| Some(sidecar.file) != now) {
        persist(path, opened, &versions);
    }
    versions
}

/// Returns the ids of a file that is only read: those of its
/// owner, else its fingerprint, if it has not changed meanwhile.
pub(super) fn versions_of_foreign(path: &Path, before: Option<String>) -> Versions {
    match before.filter(|before| fingerprint(path).as_ref() == Some(before)) {
        Some(before) => match known_ids(path, &before) {
            Some(ids) => Versions::with(ids),
            None => Versions::with(Ids {
                everything: format!("file {before}"),
                tables: BTreeMap::new(),
            }),
        },
        None => Versions::fresh(),
    }
}

fn known_ids(path: &Path, file: &str) -> Option<Ids> {
    let sidecar = read(path).filter(|sidecar| sidecar.file == file)?;
    Some(Ids {
        everything: sidecar.data_version,
        tables: sidecar.tables,
    })
}

fn sidecar_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".version");
    name.into()
}

fn read(path: &Path) -> Option<Sidecar> {
    let mut text = Vec::new();
    let (file, _) = open_regular(&sidecar_path(path)).ok()??;
    file.take(MAX_BYTES).read_to_end(&mut text).ok()?;
    let sidecar: Sidecar = serde_json::from_slice(&text).ok()?;
    (sidecar.format == 1).then_some(sidecar)
}

/// Writes the ids for the file as it is now, unless it is not the one that was opened: the ids do not apply to a file
/// that replaced it. On failure, the next start begins with new ids.
pub(super) fn persist(path: &Path, opened: Option<FileId>, versions: &Versions) {
    let Some(file) = fingerprint(path) else {
        return;
    };
    if opened.is_none() || file_id(path) != opened {
        return;
    }
    let ids = versions.ids();
    let sidecar = Sidecar {
        format: 1,
        file,
        data_version: ids.everything,
        tables: ids.tables,
    };
    let place = sidecar_path(path);
    let mut temporary = place.as_os_str().to_owned();
    temporary.push(format!(".{}", unique_id()));
    let temporary = PathBuf::from(temporary);
    let written = serde_json::to_vec(&sidecar)
        .map_err(std::io::Error::from)
        .and_then(|text| fs::write(&temporary, text))
        .and_then(|()| fs::rename(&temporary, &place));
    if let Err(error) = written {
        let _ = fs::remove_file(&temporary);
        tracing::warn!(target: "data_cache", %error, "data_version_not_recorded");
    }
}
