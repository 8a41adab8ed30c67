use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result};

/// Time to wait for the lock: `doctor` holds it for a moment when it looks if somebody has it.
const LOOKED_AT: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(10);

/// A data directory that no other process works in while this value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Device and inode of the lock.
    identity: (u64, u64),
    /// Released by the operating system, however the process ends.
    _lock: File,
}

impl DataDir {
    /// Creates the directory where it is missing, takes it, and deletes the drafts of a process that died.
    pub fn take(path: &Path) -> Result<Self> {
        let failed = |why: &str| {
            let path = path.display();
            Error::new(Kind::File, format!("--data-dir {path}{why}"))
        };
        if path.exists() && !path.is_dir() {
            return Err(failed(": it is not a directory"));
        }
        super::create_dir(path).map_err(|error| failed("").because(error))?;
        let lock = super::open_lock(&path.join(".lock"));
        let lock = lock.map_err(|error| failed(", .lock").because(error))?;
        let asked = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if asked.elapsed() < LOOKED_AT => {
                    std::thread::sleep(PAUSE);
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(failed(
                        ": another kearney-platform serves from it; stop it, or name another directory",
                    ));
                }
                Err(TryLockError::Error(error)) => return Err(failed(", .lock").because(error)),
            }
        }
        super::sweep(path).map_err(|error| failed("").because(error))?;
        let found = lock.metadata();
        let found = found.map_err(|error| failed(", .lock").because(error))?;
        Ok(Self {
            path: path.to_owned(),
            identity: (found.dev(), found.ino()),
            _lock: lock,
        })
    }

    /// Returns a look at the lock: whether this process still has the directory. Another one can take it once somebody removed it.
    pub fn look(&self) -> impl Fn() -> bool + Send + 'static {
        let (path, identity) = (self.path.join(".lock"), self.identity);
        move || {
            match path.symlink_metadata() {
                Ok(found) => (found.dev(), found.ino()) == identity,
                // what cannot be looked at may be there
                Err(error) => {
                    !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
                }
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}
