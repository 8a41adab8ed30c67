//! Locking, keeping and allocating files. All of it runs while the lock is held.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FallocateFlags, OFlags};

use super::LastRun;
use super::memory::Memory;
use super::space;
use crate::config::with_suffix;
use crate::error::Error;
use crate::format::head::Head;
use crate::format::{HEAD_BYTES, MAX_RING_BYTES, MIN_RING_BYTES, word};
use crate::machine::Machine;
use crate::read::{Raw, Reading};

/// Number of kept black boxes of runs that did not end cleanly.
pub(crate) const KEPT: usize = 3;
/// Limits for the records of the last run that are kept in memory: time before the last record, and number.
const LAST: Duration = Duration::from_secs(10);
const LAST_RECORDS: usize = 1000;
/// Attempts to lock, and the pause between two. Together they outlast a check of
/// the lock by a reader, and a forked child that inherited the lock and holds it
/// until it executes another program, which takes a while on a busy machine.
const LOCK_ATTEMPTS: usize = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(10);
const IN_THE_WAY: &str = "an existing file that is not a black box is in the way";
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    // symbolic links are not followed, and opening a pipe does not block
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
    let lock_path = with_suffix(path, "lock");
    let failed = |error| Error::io(&lock_path, "open the lock file", error);
    let mut create = options();
    let lock = create.create(true).truncate(false).open(&lock_path);
    let lock = lock.map_err(failed)?;
    if !lock.metadata().map_err(failed)?.is_file() {
        return Err(Error::foreign(&lock_path, "not a regular file"));
    }
    for tried in 1.. {
        match lock.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if tried < LOCK_ATTEMPTS => {
                std::thread::sleep(LOCK_PAUSE)
            }
            Err(TryLockError::WouldBlock) => return Err(Error::locked(path)),
            Err(TryLockError::Error(error)) => {
                return Err(Error::io(&lock_path, "lock the file", error));
            }
        }
    }
    Ok(lock)
}

/// Reads the previous run's black box, judges its end, and
/// renames the file. `last_run` is set even if the rename fails.
pub(super) fn keep_previous(
    path: &Path,
    service: &str,
    machine: &Machine,
    last_run: &mut Option<LastRun>,
) -> Result<(), Error> {
    let Some(file) = open_if_exists(path)? else {
        return Ok(());
    };
    let reading = match Raw::from_file(path, &file) {
        Ok(raw) => {
            let reading = raw.reading(Some(machine), Some((LAST, LAST_RECORDS)))?;
            if let Some(verdict) = reading.ending.to_verdict() {
                // the verdict is for readers of the kept file: if it cannot be written, they judge themselves
                let _ = file.write_all_at(&verdict, (word::VERDICT * 8) as u64);
            }
            reading
        }
        // as after a power loss: nobody has to delete the file
        Err(_) if is_lost(&file) => {
            let modified = file.metadata().and_then(|found| found.modified());
            Reading::lost(service, modified.unwrap_or(SystemTime::UNIX_EPOCH))
        }
        Err(error) => return Err(error),
    };
    let is_clean = reading.ending.is_clean();
    let last_run = last_run.insert(LastRun {
        reading,
        kept: path.to_owned(),
    });
    last_run.kept = keep(path, is_clean)?;
    Ok(())
}

/// Renames a black box to the name under which it is kept, and returns that name.
fn keep(path: &Path, is_clean: bool) -> Result<PathBuf, Error> {
    let renamed = |from: &Path, to: &Path| {
        let renamed = fs::rename(from, to);
        renamed.map_err(|error| Error::io(from, "rename the file", error))
    };
    let clean = with_suffix(path, "clean");
    if is_clean {
        is_black_box_at(&clean)?;
        renamed(path, &clean)?;
        return Ok(clean);
    }
    let older = |number: usize| with_suffix(path, &number.to_string());
    let found = (1..=KEPT).map(|number| is_black_box_at(&older(number)));
    let found: Vec<_> = found.collect::<Result<_, _>>()?;
    // the files before the first gap move up
    let there = found.iter().take_while(|there| **there).count();
    for number in (1..=there.min(KEPT - 1)).rev() {
        renamed(&older(number), &older(number + 1))?;
    }
    renamed(path, &older(1))?;
    Ok(older(1))
}

/// Returns `true` if a black box has this name. Fails for any other file, which is not replaced.
fn is_black_box_at(path: &Path) -> Result<bool, Error> {
    match open_if_exists(path)? {
        None => Ok(false),
        Some(file) if is_black_box(&file) => Ok(true),
        Some(_) => Err(Error::foreign(path, IN_THE_WAY)),
    }
}

fn open_if_exists(path: &Path) -> Result<Option<File>, Error> {
    match options().open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            Err(Error::foreign(path, "symbolic links are not followed"))
        }
        Err(error) => Err(Error::io(path, "open the file", error)),
    }
}

/// Returns `true` if the file has a valid head, or is a black box that lost its content in a power loss.
fn is_black_box(file: &File) -> bool {
    let mut head = [0; HEAD_BYTES];
    let is_file = file.metadata().is_ok_and(|found| found.is_file());
    let mut has_head = || {
        let read = file.read_exact_at(&mut head, 0);
        read.is_ok() && Head::parse(&head).is_ok()
    };
    is_file && (has_head() || is_lost(file))
}

/// Returns `true` if the file has the size of a black box, and only zeros:
/// at the power loss its name was on the disk, but not its content.
fn is_lost(file: &File) -> bool {
    let sizes = MIN_RING_BYTES..=MAX_RING_BYTES;
    let ring = |length: u64| length.checked_sub(HEAD_BYTES as u64);
    let is_size = file.metadata().is_ok_and(|found| {
        ring(found.len()).is_some_and(|ring| ring.is_power_of_two() && sizes.contains(&ring))
    });
    is_size && is_zeros(file)
}

fn is_zeros(file: &File) -> bool {
    let mut piece = vec![0; ZEROS.len()];
    let mut at = 0;
    loop {
        match file.read_at(&mut piece, at) {
            Ok(0) => return true,
            Ok(read) if piece[..read] == ZEROS[..read] => at += read as u64,
            Ok(_) | Err(_) => return false,
        }
    }
}

/// Creates a file with all of its space, and maps it.
pub(super) fn allocate(path: &Path, head: &Head) -> Result<Memory, Error> {
    let draft = Draft::new(with_suffix(path, "new"))?;
    space::check_kind(path, &draft.file)?;
    let filled = fill(&draft.file, head);
    let is_reserved = filled.map_err(|error| Error::io(path, "allocate the file", error))?;
    // the head must be on the disk before the name: otherwise, after a power loss, the file is not recognized
    let synced = draft.file.sync_data();
    synced.map_err(|error| Error::io(path, "sync the file", error))?;
    if !is_reserved {
        space::check_blocks(path, &draft.file)?;
    }
    let memory = Memory::of(&draft.file);
    let memory = memory.map_err(|error| Error::io(path, "map the file", error))?;
    draft.rename(path)?;
    Ok(memory)
}

/// Reserves space, then writes every byte, so that file systems without
/// reservation allocate it now. Returns `true` if the space is reserved.
fn fill(mut file: &File, head: &Head) -> io::Result<bool> {
    // first, so that a draft left by a killed process is recognized
    file.write_all(&head.to_bytes())?;
    let all = HEAD_BYTES as u64 + head.ring_bytes;
    let is_reserved = match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, all) {
        Ok(()) => true,
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => false,
        Err(error) => return Err(error.into()),
    };
    let mut left = head.ring_bytes as usize;
    while left > 0 {
        let piece = left.min(ZEROS.len());
        file.write_all(&ZEROS[..piece])?;
        left -= piece;
    }
    Ok(is_reserved)
}

/// Path and identity of a file.
pub(super) struct FileLocation {
    /// Absolute, because the process may change its directory.
    path: PathBuf,
    identity: (u64, u64),
}

impl FileLocation {
    pub(super) fn of(path: &Path) -> Result<Self, Error> {
        let found = std::path::absolute(path).and_then(|path| {
            let identity = identity(&path)?;
            Ok(Self { path, identity })
        });
        found.map_err(|error| Error::io(path, "read the metadata of the file", error))
    }

    /// Returns `false` if no file, or another file, has this name; `true` if the file cannot be examined.
    pub(super) fn is_in_place(&self) -> bool {
        match identity(&self.path) {
            Ok(found) => found == self.identity,
            Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
        }
    }
}

/// Returns device and inode.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = path.symlink_metadata()?;
    Ok((found.dev(), found.ino()))
}

/// File that is removed again unless it is renamed.
struct Draft {
    path: PathBuf,
    file: File,
    is_renamed: bool,
}

impl Draft {
    fn new(path: PathBuf) -> Result<Self, Error> {
        // under the lock, an existing draft belongs to a process that was killed
        if let Ok(file) = options().open(&path) {
            let is_black_box = file.metadata().is_ok_and(|found| found.is_file())
                && (is_empty_or_zeros(&file) || is_black_box(&file));
            if !is_black_box {
                return Err(Error::foreign(&path, IN_THE_WAY));
            }
            let removed = fs::remove_file(&path);
            removed.map_err(|error| Error::io(&path, "remove the draft", error))?;
        }
        let file = options().create_new(true).open(&path);
        let file = file.map_err(|error| Error::io(&path, "create the file", error))?;
        Ok(Self {
            path,
            file,
            is_renamed: false,
        })
    }

    fn rename(mut self, to: &Path) -> Result<(), Error> {
        let renamed = fs::rename(&self.path, to);
        renamed.map_err(|error| Error::io(to, "rename the new file to this path", error))?;
        self.is_renamed = true;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_renamed {
            // under the lock no other process uses it
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Returns `true` if nothing of a draft reached the disk, whatever its size.
fn is_empty_or_zeros(file: &File) -> bool {
    let largest = HEAD_BYTES as u64 + MAX_RING_BYTES;
    let is_small = file.metadata().is_ok_and(|found| found.len() <= largest);
    is_small && is_zeros(file)
}
