//! The data directory, which belongs to one serving process at a time.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// A data directory that no other process serves from while this value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Released by the operating system, however the process ends.
    _lock: File,
}

impl DataDir {
    /// Creates the directory where it is missing, and takes it.
    pub fn take(path: &Path) -> Result<Self, String> {
        let named = |error: std::io::Error| format!("--data-dir {}: {error}", path.display());
        if path.exists() && !path.is_dir() {
            return Err(format!(
                "--data-dir {}: it is not a directory",
                path.display()
            ));
        }
        std::fs::create_dir_all(path).map_err(named)?;
        let lock = File::create(path.join(".lock")).map_err(named)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(format!(
                "--data-dir {}: another kearney-platform serves from it; stop it, or name another directory",
                path.display()
            )),
            Err(TryLockError::Error(error)) => Err(named(error)),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}
