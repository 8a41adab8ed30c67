//! Content of a database file that is not written to, by which machines recognize identical files.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::sidecar::fingerprint;
use crate::key::hex;

/// Two changes within this time may have the same change time.
const TICK: Duration = Duration::from_millis(50);
/// Number of bytes read at a time.
const CHUNK: usize = 1 << 20;

/// Digest of a file and its log, valid while both are unchanged.
pub(super) struct Content {
    path: PathBuf,
    fingerprint: String,
    id: String,
}

impl Content {
    /// Reads the whole file. `before` is its fingerprint from before the engine opened it; `None` if it changed since.
    pub(super) fn of(path: &Path, before: String) -> io::Result<Option<Self>> {
        let mut digest = Sha256::new();
        add(&mut digest, path)?;
        let log = log_of(path);
        if log.exists() {
            add(&mut digest, &log)?;
        }
        // the file name is the name of the catalog in the engine
        let name = path.file_name().unwrap_or_default();
        let id = format!("sha256 {} {name:?}", hex(&digest.finalize()));
        let content = Self {
            path: path.to_owned(),
            fingerprint: before,
            id,
        };
        Ok(content.id().is_some().then_some(content))
    }

    /// Returns the digest if the file has not changed.
    pub(super) fn id(&self) -> Option<&str> {
        let is_same = fingerprint(&self.path).as_ref() == Some(&self.fingerprint);
        is_same.then_some(&self.id)
    }
}

/// Waits until a further change of the file would have a later change time.
pub(super) fn settle(path: &Path) {
    let changed = [path.to_owned(), log_of(path)].into_iter();
    let newest = changed.filter_map(|path| changed_at(&path)).max();
    if let Some(since) = newest.and_then(|at| SystemTime::now().duration_since(at).ok())
        && since < TICK
    {
        std::thread::sleep(TICK - since);
    }
}

#[cfg(unix)]
fn changed_at(path: &Path) -> Option<SystemTime> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    let seconds = u64::try_from(metadata.ctime()).ok()?;
    let nanos = u64::try_from(metadata.ctime_nsec()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds) + Duration::from_nanos(nanos))
}

#[cfg(not(unix))]
fn changed_at(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).ok()?.modified().ok()
}

fn log_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push(".wal");
    log.into()
}

/// Digests length and bytes, so that the boundary between a file and its log is unambiguous.
fn add(digest: &mut Sha256, path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut chunk = vec![0; CHUNK];
    let mut length = 0_u64;
    let mut whole = Sha256::new();
    loop {
        let count = match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        whole.update(&chunk[..count]);
        length += count as u64;
    }
    digest.update(length.to_le_bytes());
    digest.update(whole.finalize());
    Ok(())
}
