//! File that lines are appended to, with limited size.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::output::direct::{WriteOutcome, write_once};
use crate::output::notice::OutputFailure;
use crate::output::rotation::{Rotation, behind_links};
use crate::output::stream;

/// Interval at which the file's name is checked: a renamed or deleted file is reopened, and failures are retried.
const CHECK_EVERY: Duration = Duration::from_millis(250);

/// Open regular file.
pub(crate) struct LogFile {
    path: PathBuf,
    file: File,
    identity: Option<Identity>,
    /// Set if its file system appends lines one after the other, even if several processes or threads write.
    takes_whole_lines: bool,
    len: AtomicU64,
    /// Set after a line was written in part beside those of other threads, until the end of the file is checked.
    is_torn: AtomicBool,
    rotation: Rotation,
    checked: Instant,
    /// Reason why it cannot be reopened, which is reported once.
    cannot_reopen: Option<String>,
    /// Reason why it cannot be rotated, which is reported once.
    cannot_rotate: Option<String>,
}

/// Identity of a file, whatever its name.
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
            identity: identity(&metadata),
            takes_whole_lines: stream::is_on_local_disk(&file),
            file,
            len: metadata.len().into(),
            is_torn: AtomicBool::new(false),
            rotation,
            checked: Instant::now(),
            cannot_reopen: None,
            cannot_rotate: None,
        })
    }

    /// Returns the identity of the open file.
    pub(super) fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// Returns the reason why lines do not go to the file of this name, or why it grows beyond its limit.
    pub(crate) fn problem(&self) -> Option<&str> {
        self.cannot_reopen
            .as_deref()
            .or(self.cannot_rotate.as_deref())
    }

    /// Makes room for a line of this length, and makes sure that the open file is the one
    /// with its name. A failure is returned once; lines then continue to go to the open file.
    pub(crate) fn prepare(&mut self, line: usize, asked: bool) -> Option<OutputFailure> {
        let mut failure = None;
        if asked || self.checked.elapsed() >= CHECK_EVERY {
            self.checked = Instant::now();
            let result = self.check_name(asked);
            let reason = result.as_ref().err().map(ToString::to_string);
            let is_new = std::mem::replace(&mut self.cannot_reopen, reason).is_none();
            let error = result.err().filter(|_| is_new);
            failure = error.map(|error| OutputFailure::new("log_file_not_reopened", error));
        }
        let len = *self.len.get_mut();
        if let Some(limit) = self.rotation.max_bytes()
            && len > 0
            && len + line as u64 > limit
        {
            let result = match self.rotate(limit) {
                // another process may be rotating it: only the earlier failure, if any, is returned
                Ok(false) => return failure,
                rotated => rotated.map(drop),
            };
            let reason = result.as_ref().err().map(ToString::to_string);
            let is_new = std::mem::replace(&mut self.cannot_rotate, reason).is_none();
            let error = result.err().filter(|_| is_new);
            failure = error
                .map(|error| OutputFailure::new("log_file_not_rotated", error))
                .or(failure);
        }
        failure
    }

    /// Reopens the file if its name belongs to another file, or does not exist.
    fn check_name(&mut self, asked: bool) -> io::Result<()> {
        let found = std::fs::metadata(&self.path);
        match &found {
            Ok(metadata) if self.identity.is_some() && identity(metadata) == self.identity => {
                // others may append to it or truncate it
                self.len = metadata.len().into();
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
            return Err(io::Error::other("no longer a regular file"));
        }
        self.identity = identity(&metadata);
        self.takes_whole_lines = stream::is_on_local_disk(&file);
        self.len = metadata.len().into();
        self.file = file;
        Ok(())
    }

    /// Renames the file and its older ones, and starts a new file; returns `false` while
    /// another process holds the lock of the file. If rotation fails, or is blocked for
    /// long, the file grows up to the size of all files together, and is then truncated.
    fn rotate(&mut self, limit: u64) -> io::Result<bool> {
        let most = limit.saturating_mul(u64::from(self.rotation.files()));
        let before = self.identity;
        let error = match self.file.try_lock() {
            // if several processes use this file, one rotates it; the others find another file under its name
            Err(TryLockError::WouldBlock) => {
                self.check_name(false)?;
                if *self.len.get_mut() < most {
                    return Ok(self.identity != before);
                }
                io::Error::other(
                    "another process holds the lock on the file and does not rotate it",
                )
            }
            Err(TryLockError::Error(error)) => error,
            Ok(()) => match self.rename_all() {
                Ok(()) => return Ok(true),
                Err(error) => error,
            },
        };
        if *self.len.get_mut() >= most {
            self.file.set_len(0)?;
            self.len = 0.into();
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
            self.len = 0.into();
            return self.file.unlock();
        }
        let name = behind_links(&self.path);
        for number in (1..files - 1).rev() {
            match std::fs::rename(older(&name, number), older(&name, number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return self.unlocked(error);
                }
                _ => {}
            }
        }
        if let Err(error) = std::fs::rename(&name, older(&name, 1)) {
            return self.unlocked(error);
        }
        self.open_again()
    }

    fn unlocked(&self, error: io::Error) -> io::Result<()> {
        let _ = self.file.unlock();
        Err(error)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        *self.len.get_mut() += written as u64;
        Ok(written)
    }

    /// Writes a line beside those of other threads, if the file has room for it and need not be checked.
    #[inline]
    pub(super) fn write_beside(&self, line: &[u8]) -> WriteOutcome {
        if !self.takes_whole_lines || self.checked.elapsed() >= CHECK_EVERY {
            return WriteOutcome::NotWritten;
        }
        let bytes = line.len() as u64;
        let len = self.len.fetch_add(bytes, Relaxed) + bytes;
        if self.rotation.max_bytes().is_some_and(|limit| len > limit) {
            self.len.fetch_sub(bytes, Relaxed);
            return WriteOutcome::NotWritten;
        }
        let written = write_once(&self.file, line);
        let outcome = WriteOutcome::of(written, line);
        if outcome != WriteOutcome::Whole {
            self.len.fetch_sub(bytes - written as u64, Relaxed);
            self.is_torn
                .fetch_or(outcome == WriteOutcome::Torn, Relaxed);
        }
        outcome
    }

    /// Returns `true` if a line was written in part since the last call of [`take_torn`](Self::take_torn).
    #[inline]
    pub(super) fn is_torn(&self) -> bool {
        self.is_torn.load(Relaxed)
    }

    #[inline]
    pub(super) fn take_torn(&mut self) -> bool {
        std::mem::take(self.is_torn.get_mut())
    }

    /// Returns `true` if the open file ends within a line, or if that is unknown, because a blank line does no harm.
    pub(super) fn ends_within_a_line(&self) -> bool {
        let look = || {
            let file = open_to_read(&self.path)?;
            let is_this = identity(&file.metadata()?) == self.identity;
            Ok::<_, io::Error>(!is_this || ends_within(file)?)
        };
        look().unwrap_or(true)
    }
}

fn older(name: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(name);
    name.push(format!(".{number}"));
    name.into()
}

/// Opens a path for appending, without waiting for a reader, and creates it and its directories if they are missing.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    match parent.map_or(Ok(()), std::fs::create_dir_all) {
        // a file has the name of one of the directories, which opening reports
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    open_to_append(path, true)
}

/// Opens a pipe or a device of this name again, without creating a file.
pub(crate) fn open_existing(path: &Path) -> io::Result<File> {
    open_to_append(path, false)
}

fn open_to_append(path: &Path, create: bool) -> io::Result<File> {
    let mut options = File::options();
    options.create(create).append(true);
    stream::without_waiting(&mut options);
    options.open(path)
}

/// Returns `true` if a file ends within a line, like that of a killed process.
pub(crate) fn ends_within_a_line(path: &Path) -> io::Result<bool> {
    ends_within(open_to_read(path)?)
}

/// Opens a path for reading, without waiting if it is now a pipe.
fn open_to_read(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true);
    stream::without_waiting(&mut options);
    options.open(path)
}

fn ends_within(mut file: File) -> io::Result<bool> {
    let mut last = [0];
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}
