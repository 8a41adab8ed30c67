//! Coordination of processes that share a directory: an invalidation count, and a lock for critical sections.

use std::fs::{File, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use twox_hash::XxHash3_128;

use super::Disk;
use super::file::{is_at, open_regular, open_shared};
use super::layout::unique_id;

/// Length of the file in bytes.
const LENGTH: usize = 56;
/// Length of a file without `settled` and journal: no invalidation in it has files left to remove.
const SHORT: usize = 24;
/// Number of bytes before the number with flag and seal.
const SEALED: usize = 48;

/// Invalidation count of all processes, since the directory was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Generation {
    /// Drawn when the directory was created: counts of different lineages are not comparable.
    lineage: u128,
    count: u64,
}

impl Generation {
    fn first() -> Self {
        // the system draws keys for each hasher
        let draw = || u128::from(RandomState::new().hash_one(unique_id()));
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            lineage: draw() << 64 | draw(),
            // nanoseconds since 1970: higher than every count in entries of an earlier lineage
            count: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX / 2),
        }
    }

    pub(crate) fn count(self) -> u64 {
        self.count
    }

    pub(super) fn lineage(self) -> [u8; 16] {
        self.lineage.to_le_bytes()
    }

    /// Returns `true` if this count cannot follow `seen`: the directory is a different one, or an older copy of itself.
    pub(crate) fn is_rolled_back_from(self, seen: Self) -> bool {
        self.lineage != seen.lineage || self.is_before(seen)
    }

    /// Returns `true` if this is an earlier count of the same directory.
    pub(crate) fn is_before(self, seen: Self) -> bool {
        self.lineage == seen.lineage && self.count < seen.count
    }
}

/// State that all processes share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DirectoryState {
    pub(crate) generation: Generation,
    /// Count up to which invalidations left no file.
    pub(crate) settled: u64,
    pub(super) journal_id: u64,
    /// Valid bytes of the journal; 0 if there is no valid journal.
    pub(super) journal_len: u64,
    /// `true` while files change that the journal does not list yet.
    pub(super) is_writing: bool,
}

impl DirectoryState {
    /// Returns this state with another count.
    pub(crate) fn at(self, generation: Generation) -> Self {
        Self { generation, ..self }
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let generation = Generation {
            lineage: u128::from_le_bytes(bytes.get(..16)?.try_into().ok()?),
            count: number(16)?,
        };
        // a power cut may leave zeros, and a count that restarts would invalidate no existing entry
        if generation.lineage == 0 {
            return None;
        }
        let [settled, journal_id, journal_len, flags] = match bytes.len() {
            SHORT => [generation.count, 0, 0, 0],
            LENGTH => [number(24)?, number(32)?, number(40)?, number(48)?],
            _ => return None,
        };
        let is_writing = flags & 1 == 1;
        // earlier versions write no seal
        if flags > 1 && Some(flags) != bytes.get(..SEALED).map(|head| seal(head, is_writing)) {
            return None;
        }
        Some(Self {
            generation,
            settled: settled.min(generation.count),
            journal_id,
            journal_len,
            is_writing,
        })
    }

    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = self.generation.lineage().to_vec();
        for number in [
            self.generation.count,
            self.settled,
            self.journal_id,
            self.journal_len,
        ] {
            bytes.extend(number.to_le_bytes());
        }
        let flags = seal(&bytes, self.is_writing);
        bytes.extend(flags.to_le_bytes());
        bytes
    }
}

/// Returns the last number of the file: the flag, and in the bits that earlier
/// versions ignore a digest, never 0, of the flag and the bytes before.
fn seal(head: &[u8], is_writing: bool) -> u64 {
    let flag = u64::from(is_writing);
    XxHash3_128::oneshot_with_seed(flag, head) as u64 & !1 | 2 | flag
}

/// The count file as opened last. A process without a free file descriptor
/// can still read it; otherwise it would drop its memory at each check.
#[derive(Default)]
pub(super) struct CountFile(Mutex<Option<File>>);

impl CountFile {
    fn keep(&self, file: File) {
        // on other systems an open file prevents the removal of its directory
        if cfg!(unix) {
            *self.0.lock() = Some(file);
        }
    }

    /// Reads the file if it is still the one at this path.
    fn read_if_at(&self, path: &Path) -> Option<DirectoryState> {
        let held = self.0.lock();
        let file = held.as_ref().filter(|file| is_at(file, path))?;
        read(file).ok().flatten()
    }
}

/// Exclusive lock of the directory among threads and processes, until dropped; released if the process dies.
pub(crate) struct Exclusive {
    file: File,
}

impl Disk {
    /// Waits for the lock, at most `limit`. The count file is created if missing.
    pub(crate) fn exclusive(&self, limit: Duration) -> io::Result<Exclusive> {
        let deadline = Instant::now() + limit;
        let file = open_shared(&self.generation_path())?;
        let mut pause = Duration::from_micros(50);
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "another process holds the lock of the directory",
                ));
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(Duration::from_millis(10));
        }
        let exclusive = Exclusive { file };
        if read(&exclusive.file)?.is_none() {
            // the rest of a file with a damaged count is not trusted either
            exclusive.file.set_len(0)?;
            let generation = Generation::first();
            exclusive.write(DirectoryState {
                generation,
                // earlier invalidations are unknown
                settled: generation.count - u64::from(!self.is_empty()),
                journal_id: 0,
                journal_len: 0,
                is_writing: false,
            })?;
        }
        let mut state = exclusive.state()?;
        if state.is_writing {
            // the previous process died, or could not write
            state.is_writing = false;
            state.journal_len = 0;
            exclusive.write(state)?;
        }
        Ok(exclusive)
    }

    /// Returns the count of invalidations by any process; `None` if it cannot be read.
    pub(crate) fn generation(&self) -> Option<Generation> {
        self.state().map(|state| state.generation)
    }

    pub(crate) fn state(&self) -> Option<DirectoryState> {
        let path = self.generation_path();
        match open_regular(&path) {
            Ok(Some((file, _))) => {
                let state = read(&file).ok().flatten();
                self.count_file.keep(file);
                state
            }
            Ok(None) => None,
            Err(_) => self.count_file.read_if_at(&path),
        }
    }
}

impl Exclusive {
    pub(crate) fn generation(&self) -> io::Result<Generation> {
        self.state().map(|state| state.generation)
    }

    pub(crate) fn state(&self) -> io::Result<DirectoryState> {
        read(&self.file)?.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
    }

    /// Increments the count and returns it.
    pub(super) fn advance(&self) -> io::Result<Generation> {
        let mut next = self.state()?;
        next.generation.count = next.generation.count.wrapping_add(1);
        self.write(next)?;
        Ok(next.generation)
    }

    /// Records that no file is left of invalidations up to this count.
    /// Without `all`, the previous one must be settled already.
    pub(crate) fn settle(&self, count: u64, all: bool) -> io::Result<bool> {
        let mut next = self.state()?;
        let follows = all || next.settled + 1 >= count;
        if follows && count > next.settled {
            next.settled = count;
            self.write(next)?;
        }
        Ok(follows)
    }

    /// Waits until the count is on disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    pub(super) fn write(&self, state: DirectoryState) -> io::Result<()> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&state.to_bytes())
    }
}

/// Reads the state; `None` for a file that holds none. Reads twice, since a write may have been in progress.
fn read(file: &File) -> io::Result<Option<DirectoryState>> {
    match read_once(file)? {
        None => read_once(file),
        state => Ok(state),
    }
}

fn read_once(mut file: &File) -> io::Result<Option<DirectoryState>> {
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    if length != LENGTH && length != SHORT {
        return Ok(None);
    }
    let mut bytes = vec![0; length];
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut bytes)?;
    Ok(DirectoryState::from_bytes(&bytes))
}
