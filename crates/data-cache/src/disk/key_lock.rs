//! Lock of a key: one computation at a time over all processes that share the directory.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::PathBuf;

use super::Disk;
use super::file::{is_at, open_shared};
use crate::key::Key;

/// Held while a result is computed, until dropped; released if the process dies.
pub(crate) struct KeyLock {
    file: File,
    path: PathBuf,
}

/// State of a key's lock.
pub(crate) enum KeyTurn {
    Mine(KeyLock),
    /// Another holder computes.
    Busy,
    /// The previous holder could not store its result, so waiting is pointless.
    NotStored,
    /// The previous holder finished: look up its result.
    Ended,
}

/// Lock file of a key, to take the lock or wait for it.
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
        // the holder removed the file; its mark applies to everyone who waited
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
    /// Notifies waiters that no result will be stored.
    pub(crate) fn give_up(&self) {
        let _ = (&self.file).write_all(b"n");
    }
}

impl Drop for KeyLock {
    fn drop(&mut self) {
        // before the lock is released with the file
        let _ = fs::remove_file(&self.path);
    }
}
