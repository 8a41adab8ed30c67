//! One computation of a key over all processes that share the directory.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::PathBuf;

use super::Disk;
use super::file::{is_at, open_shared};
use crate::key::Key;

/// Held while a result is computed, until dropped; a process that dies lets go.
pub(crate) struct KeyLock {
    file: File,
    path: PathBuf,
}

/// State of a key's lock.
pub(crate) enum KeyTurn {
    Mine(KeyLock),
    /// Another one computes.
    Busy,
    /// The one before could not store its result, so that waiting is in vain.
    NotStored,
    /// The one before ended: look for its result.
    Ended,
}

/// The lock of a key, taken or waited for.
pub(crate) struct KeyQueue {
    file: File,
    path: PathBuf,
}

impl Disk {
    pub(crate) fn key_queue(&self, key: &Key) -> io::Result<KeyQueue> {
        let path = self.temporary_dir().join(format!("{key}.flight"));
        let file = open_shared(&path)?;
        Ok(KeyQueue { file, path })
    }
}

impl KeyQueue {
    /// Takes the lock if it is free. Never blocks.
    pub(crate) fn try_turn(&self) -> io::Result<KeyTurn> {
        match self.file.try_lock() {
            Err(TryLockError::WouldBlock) => return Ok(KeyTurn::Busy),
            Err(TryLockError::Error(error)) => return Err(error),
            Ok(()) => {}
        }
        if is_at(&self.file, &self.path) {
            return Ok(KeyTurn::Mine(KeyLock {
                file: self.file.try_clone()?,
                path: self.path.clone(),
            }));
        }
        // its holder removed it; what it wrote holds for everybody who waited
        let mut mark = Vec::new();
        (&self.file).take(1).read_to_end(&mut mark)?;
        self.file.unlock()?;
        Ok(match mark.is_empty() {
            true => KeyTurn::Ended,
            false => KeyTurn::NotStored,
        })
    }
}

impl KeyLock {
    /// Tells those who wait that there will be no result for them.
    pub(crate) fn give_up(&self) {
        let _ = (&self.file).write_all(b"n");
    }
}

impl Drop for KeyLock {
    fn drop(&mut self) {
        // before the lock goes with the file
        let _ = fs::remove_file(&self.path);
    }
}
