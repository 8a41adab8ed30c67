//! What processes that share a directory agree on: a count of invalidations, and a lock for the moments that decide.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use super::Disk;
use super::file::open_regular;

/// Holds the directory for itself, among threads and processes, until dropped; a process that dies lets go.
pub(crate) struct Exclusive {
    file: File,
}

impl Disk {
    /// Waits for the directory.
    pub(crate) fn exclusive(&self) -> io::Result<Exclusive> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.generation_path())?;
        file.lock()?;
        Ok(Exclusive { file })
    }

    /// How often any process invalidated; 0 where nobody did, `None` where it cannot be read.
    pub(crate) fn generation(&self) -> Option<u64> {
        match open_regular(&self.generation_path()) {
            Ok(Some((file, _))) => read(&file).ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(0),
            Ok(None) | Err(_) => None,
        }
    }
}

impl Exclusive {
    pub(crate) fn generation(&self) -> io::Result<u64> {
        read(&self.file)
    }

    /// Counts one more, and says what the count is now.
    pub(crate) fn advance(&self) -> io::Result<u64> {
        let next = self.generation()?.wrapping_add(1);
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&next.to_le_bytes())?;
        Ok(next)
    }
}

fn read(mut file: &File) -> io::Result<u64> {
    let mut bytes = [0; 8];
    file.seek(SeekFrom::Start(0))?;
    match file.read_exact(&mut bytes) {
        Ok(()) => Ok(u64::from_le_bytes(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
        Err(error) => Err(error),
    }
}
