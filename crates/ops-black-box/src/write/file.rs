//! Locking, keeping and allocating files. Everything here happens while the lock is held.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FallocateFlags, OFlags};

use super::LastRun;
use super::memory::Memory;
use crate::config::beside;
use crate::error::Error;
use crate::format::head::Head;
use crate::format::{HEAD_BYTES, word};
use crate::machine::Machine;
use crate::read::Raw;

/// Black boxes that are kept of runs that did not end cleanly.
pub(crate) const KEPT: usize = 3;
/// Records of the last run that are kept in memory: those of this time, and at most so many.
const LAST: Duration = Duration::from_secs(10);
const LAST_RECORDS: usize = 1000;
/// Tries to lock, and the time between two: a look at the lock from outside takes less.
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_millis(10);
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    // nothing that a link points to is touched, and a pipe is not waited for
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    options
        .read(true)
        .write(true)
        .mode(0o600)
        .custom_flags(flags.bits() as i32);
    options
}

/// Takes the lock of a black box.
pub(super) fn lock(path: &Path) -> Result<File, Error> {
    let lock_path = beside(path, "lock");
    let failed = |error| Error::io(&lock_path, "open the lock", error);
    let mut create = options();
    let lock = create.create(true).truncate(false).open(&lock_path);
    let lock = lock.map_err(failed)?;
    if !lock.metadata().map_err(failed)?.is_file() {
        return Err(Error::foreign(&lock_path, "it is no file"));
    }
    for tried in 1.. {
        match lock.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if tried < TRIES => std::thread::sleep(PAUSE),
            Err(TryLockError::WouldBlock) => return Err(Error::locked(path)),
            Err(TryLockError::Error(error)) => {
                return Err(Error::io(&lock_path, "lock it", error));
            }
        }
    }
    Ok(lock)
}

/// Reads the black box of the run before, judges its end, and gives it another name.
pub(super) fn keep_previous(path: &Path, machine: &Machine) -> Result<Option<LastRun>, Error> {
    let file = match options().open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(Error::foreign(path, "it is a symbolic link"));
        }
        Err(error) => return Err(Error::io(path, "open the file", error)),
    };
    let mut reading = Raw::from_file(path, &file)?.reading(Some(machine))?;
    if let Some(verdict) = reading.ending.to_verdict() {
        // it is for readers of the kept file: without space for it they judge themselves
        let _ = file.write_all_at(&verdict, (word::VERDICT * 8) as u64);
    }
    let renamed = |from: &Path, to: &Path| {
        let renamed = fs::rename(from, to);
        renamed.map_err(|error| Error::io(from, "rename the file", error))
    };
    let kept = if reading.ending.is_clean() {
        beside(path, "clean")
    } else {
        let older = |number: usize| beside(path, &number.to_string());
        for number in (1..KEPT).rev() {
            if older(number).exists() {
                renamed(&older(number), &older(number + 1))?;
            }
        }
        older(1)
    };
    renamed(path, &kept)?;
    reading.keep_last(LAST, LAST_RECORDS);
    Ok(Some(LastRun { reading, kept }))
}

/// Makes a file with all of its space, and maps it.
pub(super) fn allocate(path: &Path, head: &Head) -> Result<Memory, Error> {
    let draft = Draft::new(beside(path, "new"))?;
    let filled = fill(&draft.file, head);
    filled.map_err(|error| Error::io(path, "allocate the file", error))?;
    let memory = Memory::of(&draft.file);
    let memory = memory.map_err(|error| Error::io(path, "map the file", error))?;
    draft.rename(path)?;
    Ok(memory)
}

/// Reserves space, then writes every byte: file systems that reserve none have to find it now, and pages are in memory
/// before the first line.
fn fill(mut file: &File, head: &Head) -> io::Result<()> {
    // first of all, so that what is left of it after a kill is known to be ours
    file.write_all(&head.to_bytes())?;
    let all = HEAD_BYTES as u64 + head.ring_bytes;
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, all) {
        Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
        Err(error) => return Err(error.into()),
    }
    let mut left = head.ring_bytes as usize;
    while left > 0 {
        let piece = left.min(ZEROS.len());
        file.write_all(&ZEROS[..piece])?;
        left -= piece;
    }
    Ok(())
}

/// A file that is removed again unless it gets its name.
struct Draft {
    path: PathBuf,
    file: File,
    is_done: bool,
}

impl Draft {
    fn new(path: PathBuf) -> Result<Self, Error> {
        // under the lock, a draft is one of a process that was killed
        if let Ok(file) = options().open(&path) {
            let is_ours = file.metadata().is_ok_and(|found| found.is_file())
                && (is_empty(&file) || Raw::from_file(&path, &file).is_ok());
            if !is_ours {
                return Err(Error::foreign(&path, "it is in the way, and no black box"));
            }
            let removed = fs::remove_file(&path);
            removed.map_err(|error| Error::io(&path, "remove the draft", error))?;
        }
        let file = options().create_new(true).open(&path);
        let file = file.map_err(|error| Error::io(&path, "make the file", error))?;
        Ok(Self {
            path,
            file,
            is_done: false,
        })
    }

    fn rename(mut self, to: &Path) -> Result<(), Error> {
        let renamed = fs::rename(&self.path, to);
        renamed.map_err(|error| Error::io(to, "give the file its name", error))?;
        self.is_done = true;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_done {
            // under the lock it is nobody else's
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn is_empty(file: &File) -> bool {
    file.metadata().is_ok_and(|found| found.len() == 0)
}
