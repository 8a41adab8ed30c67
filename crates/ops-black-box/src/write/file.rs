//! Locking, keeping and allocating files. Everything here happens while the lock is held.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FallocateFlags, OFlags};

use super::LastRun;
use super::memory::Memory;
use super::space;
use crate::config::beside;
use crate::error::Error;
use crate::format::head::Head;
use crate::format::{HEAD_BYTES, MAX_RING_BYTES, MIN_RING_BYTES, word};
use crate::machine::Machine;
use crate::read::{Raw, Reading};

/// Black boxes that are kept of runs that did not end cleanly.
pub(crate) const KEPT: usize = 3;
/// Records of the last run that are kept in memory: those of this time, and at most so many.
const LAST: Duration = Duration::from_secs(10);
const LAST_RECORDS: usize = 1000;
/// Tries to lock, and the time between two: together they outlast a look at the lock from outside, and a child that was forked while
/// the lock was held and has it until it becomes another program, which on a busy machine is not at once.
const TRIES: usize = 100;
const PAUSE: Duration = Duration::from_millis(10);
const IN_THE_WAY: &str = "it is in the way, and no black box";
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

/// Reads the black box of the run before, judges its end, and gives it another name. The run is known also if that fails.
pub(super) fn keep_previous(
    path: &Path,
    service: &str,
    machine: &Machine,
    last_run: &mut Option<LastRun>,
) -> Result<(), Error> {
    let Some(file) = open_if_there(path)? else {
        return Ok(());
    };
    let reading = match Raw::from_file(path, &file) {
        Ok(raw) => {
            let reading = raw.reading(Some(machine), Some((LAST, LAST_RECORDS)))?;
            if let Some(verdict) = reading.ending.to_verdict() {
                // it is for readers of the kept file: without space for it they judge themselves
                let _ = file.write_all_at(&verdict, (word::VERDICT * 8) as u64);
            }
            reading
        }
        // as after a power loss: nobody has to come and delete it
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

/// Gives a black box the name that it is kept as, and returns it.
fn keep(path: &Path, is_clean: bool) -> Result<PathBuf, Error> {
    let renamed = |from: &Path, to: &Path| {
        let renamed = fs::rename(from, to);
        renamed.map_err(|error| Error::io(from, "rename the file", error))
    };
    let clean = beside(path, "clean");
    if is_clean {
        is_there(&clean)?;
        renamed(path, &clean)?;
        return Ok(clean);
    }
    let older = |number: usize| beside(path, &number.to_string());
    let found = (1..=KEPT).map(|number| is_there(&older(number)));
    let found: Vec<_> = found.collect::<Result<_, _>>()?;
    // those before the first gap make room
    let there = found.iter().take_while(|there| **there).count();
    for number in (1..=there.min(KEPT - 1)).rev() {
        renamed(&older(number), &older(number + 1))?;
    }
    renamed(path, &older(1))?;
    Ok(older(1))
}

/// Reports whether there is a black box with this name. The error is another file, which is not replaced.
fn is_there(path: &Path) -> Result<bool, Error> {
    match open_if_there(path)? {
        None => Ok(false),
        Some(file) if is_ours(&file) => Ok(true),
        Some(_) => Err(Error::foreign(path, IN_THE_WAY)),
    }
}

fn open_if_there(path: &Path) -> Result<Option<File>, Error> {
    match options().open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            Err(Error::foreign(path, "it is a symbolic link"))
        }
        Err(error) => Err(Error::io(path, "open the file", error)),
    }
}

/// Reports whether it has a head, or was ours before a power loss.
fn is_ours(file: &File) -> bool {
    let mut head = [0; HEAD_BYTES];
    let is_file = file.metadata().is_ok_and(|found| found.is_file());
    let mut has_head = || {
        let read = file.read_exact_at(&mut head, 0);
        read.is_ok() && Head::parse(&head).is_ok()
    };
    is_file && (has_head() || is_lost(file))
}

/// Reports whether it has the size of a black box, and only zeros: its name was on the disk when the power failed, and it was not.
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

/// Makes a file with all of its space, and maps it.
pub(super) fn allocate(path: &Path, head: &Head) -> Result<Memory, Error> {
    let draft = Draft::new(beside(path, "new"))?;
    space::check_kind(path, &draft.file)?;
    let filled = fill(&draft.file, head);
    let is_reserved = filled.map_err(|error| Error::io(path, "allocate the file", error))?;
    // the name never is on the disk before the head: after a power loss the file would be nobody's
    let synced = draft.file.sync_data();
    synced.map_err(|error| Error::io(path, "write the file to the disk", error))?;
    if !is_reserved {
        space::check_blocks(path, &draft.file)?;
    }
    let memory = Memory::of(&draft.file);
    let memory = memory.map_err(|error| Error::io(path, "map the file", error))?;
    draft.rename(path)?;
    Ok(memory)
}

/// Reserves space, then writes every byte: file systems that reserve none have to find it now. Reports whether it is reserved.
fn fill(mut file: &File, head: &Head) -> io::Result<bool> {
    // first of all, so that what is left of it after a kill is known to be ours
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

/// Place and identity of a file.
pub(super) struct Place {
    /// Absolute: the process may go to another directory.
    path: PathBuf,
    identity: (u64, u64),
}

impl Place {
    pub(super) fn of(path: &Path) -> Result<Self, Error> {
        let found = std::path::absolute(path).and_then(|path| {
            let identity = identity(&path)?;
            Ok(Self { path, identity })
        });
        found.map_err(|error| Error::io(path, "look at the file", error))
    }

    /// Returns false if there is no file of this name, or another one. One that cannot be looked at may be there.
    pub(super) fn is_there(&self) -> bool {
        match identity(&self.path) {
            Ok(found) => found == self.identity,
            Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
        }
    }
}

/// Device and inode.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = path.symlink_metadata()?;
    Ok((found.dev(), found.ino()))
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
                && (is_empty_or_zeros(&file) || is_ours(&file));
            if !is_ours {
                return Err(Error::foreign(&path, IN_THE_WAY));
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

/// Reports whether nothing of a draft had arrived on the disk, whatever its size.
fn is_empty_or_zeros(file: &File) -> bool {
    let largest = HEAD_BYTES as u64 + MAX_RING_BYTES;
    let is_small = file.metadata().is_ok_and(|found| found.len() <= largest);
    is_small && is_zeros(file)
}
