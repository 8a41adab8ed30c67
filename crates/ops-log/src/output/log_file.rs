//! A file that is appended to, and cannot fill the disk.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::output::notice::Trouble;
use crate::output::rotation::Rotation;
use crate::output::stream;

/// Interval at which a file is looked at: if it was renamed or deleted it is opened again, and failures are retried.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A regular file that is open.
pub(crate) struct LogFile {
    path: PathBuf,
    file: File,
    identity: Option<Identity>,
    len: u64,
    rotation: Rotation,
    looked: Instant,
    /// Reason while it cannot be opened again: said once.
    cannot_reopen: Option<String>,
    /// Reason while it cannot be rotated: said once.
    cannot_rotate: Option<String>,
}

/// Which file it is, whatever its name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity(u64, u64);

#[cfg(unix)]
fn identity(metadata: &std::fs::Metadata) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    Some(Identity(metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(_: &std::fs::Metadata) -> Option<Identity> {
    None
}

impl LogFile {
    pub(crate) fn new(path: &Path, file: File, rotation: Rotation) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            path: path.to_owned(),
            file,
            identity: identity(&metadata),
            len: metadata.len(),
            rotation,
            looked: Instant::now(),
            cannot_reopen: None,
            cannot_rotate: None,
        })
    }

    /// Reason why lines do not go to the file of this name, or why it grows beyond its limit.
    pub(crate) fn problem(&self) -> Option<&str> {
        self.cannot_reopen
            .as_deref()
            .or(self.cannot_rotate.as_deref())
    }

    /// Makes room for a line of this length, and sees to it that the file is the one of its name. What goes wrong is
    /// returned once; lines go on to the file that is open.
    pub(crate) fn prepare(&mut self, line: usize, asked: bool) -> Option<Trouble> {
        let mut trouble = None;
        if asked || self.looked.elapsed() >= LOOK_EVERY {
            self.looked = Instant::now();
            let result = self.look(asked);
            let reason = result.as_ref().err().map(ToString::to_string);
            let is_new = std::mem::replace(&mut self.cannot_reopen, reason).is_none();
            let error = result.err().filter(|_| is_new);
            trouble = error.map(|error| Trouble::new("log_file_not_reopened", error));
        }
        if let Some(limit) = self.rotation.max_bytes()
            && self.len > 0
            && self.len + line as u64 > limit
        {
            let result = match self.rotate(limit) {
                // another process may be at it: what was known before holds
                Ok(false) => return trouble,
                rotated => rotated.map(drop),
            };
            let reason = result.as_ref().err().map(ToString::to_string);
            let is_new = std::mem::replace(&mut self.cannot_rotate, reason).is_none();
            let error = result.err().filter(|_| is_new);
            trouble = error
                .map(|error| Trouble::new("log_file_not_rotated", error))
                .or(trouble);
        }
        trouble
    }

    /// Opens the file again if its name belongs to another one, or to none.
    fn look(&mut self, asked: bool) -> io::Result<()> {
        let found = std::fs::metadata(&self.path);
        match &found {
            Ok(metadata) if self.identity.is_some() && identity(metadata) == self.identity => {
                // others may append to it too, or empty it
                self.len = metadata.len();
                Ok(())
            }
            Ok(_) if self.identity.is_none() && !asked => Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io::Error::new(error.kind(), error.to_string()))
            }
            _ => self.open_again(),
        }
    }

    fn open_again(&mut self) -> io::Result<()> {
        let file = open(&self.path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("is no regular file any more"));
        }
        self.identity = identity(&metadata);
        self.len = metadata.len();
        self.file = file;
        Ok(())
    }

    /// Renames the file and its older ones, and begins a new one; `false` while another process holds the lock of the file. If that
    /// fails, or lasts, it grows up to the size of all files together, and is emptied then.
    fn rotate(&mut self, limit: u64) -> io::Result<bool> {
        let most = limit.saturating_mul(u64::from(self.rotation.files()));
        let before = self.identity;
        let error = match self.file.try_lock() {
            // of several processes with this file one rotates it; the others find another file under its name
            Err(TryLockError::WouldBlock) => {
                self.look(false)?;
                if self.len < most {
                    return Ok(self.identity != before);
                }
                io::Error::other("another process holds its lock and does not rotate it")
            }
            Err(TryLockError::Error(error)) => error,
            Ok(()) => match self.rename_all() {
                Ok(()) => return Ok(true),
                Err(error) => error,
            },
        };
        if self.len >= most {
            self.file.set_len(0)?;
            self.len = 0;
        }
        Err(error)
    }

    fn rename_all(&mut self) -> io::Result<()> {
        let found = std::fs::metadata(&self.path);
        let is_ours = found.is_ok_and(|metadata| identity(&metadata) == self.identity);
        if !is_ours {
            return self.open_again();
        }
        let files = self.rotation.files();
        if files == 1 {
            self.file.set_len(0)?;
            self.len = 0;
            return self.file.unlock();
        }
        for number in (1..files - 1).rev() {
            match std::fs::rename(self.older(number), self.older(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return self.unlocked(error);
                }
                _ => {}
            }
        }
        if let Err(error) = std::fs::rename(&self.path, self.older(1)) {
            return self.unlocked(error);
        }
        self.open_again()
    }

    fn unlocked(&self, error: io::Error) -> io::Result<()> {
        let _ = self.file.unlock();
        Err(error)
    }

    fn older(&self, number: u32) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(format!(".{number}"));
        name.into()
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.len += written as u64;
        Ok(written)
    }
}

/// Opens a path for appending, without waiting for a reader, and makes it and its directories if they are missing.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        std::fs::create_dir_all(parent)?;
    }
    let mut options = File::options();
    options.create(true).append(true);
    stream::without_waiting(&mut options);
    options.open(path)
}

/// Reports whether a file ends within a line, as one of a killed process does.
pub(crate) fn ends_within_a_line(path: &Path) -> io::Result<bool> {
    let (mut file, mut last) = (File::open(path)?, [0]);
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}
