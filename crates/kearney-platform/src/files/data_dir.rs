use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result};

/// Maximum wait for the lock: `doctor` holds it briefly when it checks it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(10);

/// Lock on a data directory: no other process uses it while this value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Device and inode of the lock file.
    identity: (u64, u64),
    /// Released by the operating system, however the process ends.
    _lock: File,
}

impl DataDir {
    /// Creates the directory if it is missing, locks it, and deletes the drafts of a process that was killed.
    pub fn lock(path: &Path) -> Result<Self> {
        let failed = |why: &str| {
            let path = path.display();
            Error::new(Kind::File, format!("--data-dir {path}{why}"))
        };
        if path.exists() && !path.is_dir() {
            return Err(failed(": not a directory"));
        }
        super::create_dir(path).map_err(|error| failed("").because(error))?;
        let lock = super::open_lock(&path.join(".lock"));
        let lock = lock.map_err(|error| failed(", .lock").because(error))?;
        let asked = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if asked.elapsed() < LOCK_TIMEOUT => {
                    std::thread::sleep(PAUSE);
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(failed(
                        ": in use by another kearney-platform; stop it or use another directory",
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

    /// Returns a function that checks if this process still owns the directory. Another process can take it after it
    /// was removed.
    pub fn ownership_check(&self) -> impl Fn() -> bool + Send + 'static {
        let (path, identity) = (self.path.join(".lock"), self.identity);
        move || {
            match path.symlink_metadata() {
                Ok(found) => (found.dev(), found.ino()) == identity,
                // other errors do not prove that the lock is gone
                Err(error) => {
                    !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
                }
            }
        }
    }

    /// Locks the directory for readers until the file is dropped, so that no platform can start;
    /// `None` if a platform owns the directory, or it has no lock file.
    pub fn lock_unowned(path: &Path) -> Option<File> {
        let lock = super::open_to_read(&path.join(".lock")).ok()?;
        lock.try_lock_shared().ok()?;
        Some(lock)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}
