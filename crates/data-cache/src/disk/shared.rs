//! Agreement between processes that share a directory: a count of invalidations, and a lock for the moments that decide.

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

/// Bytes of the file.
const LENGTH: usize = 56;
/// Bytes of a file that knows nothing of files to be removed: all are.
const SHORT: usize = 24;
/// Bytes before the number with flag and seal.
const SEALED: usize = 48;

/// Count of invalidations by all processes, since a directory was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Generation {
    /// Drawn when the directory was made: counts of two lineages do not compare.
    lineage: u128,
    count: u64,
}

impl Generation {
    fn first() -> Self {
        // drawn by the system for each hasher
        let draw = || u128::from(RandomState::new().hash_one(unique_id()));
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            lineage: draw() << 64 | draw(),
            // nanoseconds since 1970: above every count in entries of an earlier lineage
            count: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX / 2),
        }
    }

    pub(crate) fn count(self) -> u64 {
        self.count
    }

    pub(super) fn lineage(self) -> [u8; 16] {
        self.lineage.to_le_bytes()
    }

    /// Returns `true` if this count cannot come after `seen`: the directory is another one, or an older copy of itself.
    pub(crate) fn went_back_from(self, seen: Self) -> bool {
        self.lineage != seen.lineage || self.is_before(seen)
    }

    /// Returns `true` if this is an earlier count of the same directory.
    pub(crate) fn is_before(self, seen: Self) -> bool {
        self.lineage == seen.lineage && self.count < seen.count
    }
}

/// Everything that processes agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sheet {
    pub(crate) generation: Generation,
    /// Invalidations up to this count left no file.
    pub(crate) settled: u64,
    pub(super) journal_id: u64,
    /// Bytes of the journal that count; 0 if there is none that can be believed.
    pub(super) journal_len: u64,
    /// `true` while files change that the journal does not know of yet.
    pub(super) is_writing: bool,
}

impl Sheet {
    /// The same, at another count.
    pub(crate) fn at(self, generation: Generation) -> Self {
        Self { generation, ..self }
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let generation = Generation {
            lineage: u128::from_le_bytes(bytes.get(..16)?.try_into().ok()?),
            count: number(16)?,
        };
        // a power cut may leave zeros: a count that begins anew means no entry that is there
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

/// The last number of the file: a flag, and in the bits that earlier versions do not look at a digest, never 0, of the flag and what
/// stands before.
fn seal(head: &[u8], is_writing: bool) -> u64 {
    let flag = u64::from(is_writing);
    XxHash3_128::oneshot_with_seed(flag, head) as u64 & !1 | 2 | flag
}

/// The file of the count as it was opened last. A process without a file descriptor left reads it still; it would forget its memory
/// otherwise, at each look.
#[derive(Default)]
pub(super) struct CountFile(Mutex<Option<File>>);

impl CountFile {
    fn keep(&self, file: File) {
        // elsewhere a file that is open keeps its directory from being removed
        if cfg!(unix) {
            *self.0.lock() = Some(file);
        }
    }

    /// Reads it, if it is the file that has this name.
    fn read_if_at(&self, path: &Path) -> Option<Sheet> {
        let held = self.0.lock();
        let file = held.as_ref().filter(|file| is_at(file, path))?;
        read(file).ok().flatten()
    }
}

/// Holds the directory for itself, among threads and processes, until dropped; a process that dies lets go.
pub(crate) struct Exclusive {
    file: File,
}

impl Disk {
    /// Waits for the directory, at most this long. The file of the count is made if it is not there.
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
                    "another process holds the directory's lock",
                ));
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(Duration::from_millis(10));
        }
        let exclusive = Exclusive { file };
        if read(&exclusive.file)?.is_none() {
            // what a damaged count leaves behind is not believed either
            exclusive.file.set_len(0)?;
            let generation = Generation::first();
            exclusive.write(Sheet {
                generation,
                // nobody knows what was invalidated before
                settled: generation.count - u64::from(!self.is_empty()),
                journal_id: 0,
                journal_len: 0,
                is_writing: false,
            })?;
        }
        let mut sheet = exclusive.sheet()?;
        if sheet.is_writing {
            // the process before died, or could not write
            sheet.is_writing = false;
            sheet.journal_len = 0;
            exclusive.write(sheet)?;
        }
        Ok(exclusive)
    }

    /// Returns the count of invalidations by any process; `None` if it cannot be read.
    pub(crate) fn generation(&self) -> Option<Generation> {
        self.sheet().map(|sheet| sheet.generation)
    }

    pub(crate) fn sheet(&self) -> Option<Sheet> {
        let path = self.generation_path();
        match open_regular(&path) {
            Ok(Some((file, _))) => {
                let sheet = read(&file).ok().flatten();
                self.count_file.keep(file);
                sheet
            }
            Ok(None) => None,
            Err(_) => self.count_file.read_if_at(&path),
        }
    }
}

impl Exclusive {
    pub(crate) fn generation(&self) -> io::Result<Generation> {
        self.sheet().map(|sheet| sheet.generation)
    }

    pub(crate) fn sheet(&self) -> io::Result<Sheet> {
        read(&self.file)?.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
    }

    /// Counts one more, and says what the count is now.
    pub(super) fn advance(&self) -> io::Result<Generation> {
        let mut next = self.sheet()?;
        next.generation.count = next.generation.count.wrapping_add(1);
        self.write(next)?;
        Ok(next.generation)
    }

    /// Notes that no file is left of what was invalidated up to this count. Without `all` the one before must be settled.
    pub(crate) fn settle(&self, count: u64, all: bool) -> io::Result<bool> {
        let mut next = self.sheet()?;
        let follows = all || next.settled + 1 >= count;
        if follows && count > next.settled {
            next.settled = count;
            self.write(next)?;
        }
        Ok(follows)
    }

    /// Waits until the count is on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    pub(super) fn write(&self, sheet: Sheet) -> io::Result<()> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&sheet.to_bytes())
    }
}

/// `None` for a file that holds no count. Looks twice, since a write may have been under way.
fn read(file: &File) -> io::Result<Option<Sheet>> {
    match read_once(file)? {
        None => read_once(file),
        sheet => Ok(sheet),
    }
}

fn read_once(mut file: &File) -> io::Result<Option<Sheet>> {
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    if length != LENGTH && length != SHORT {
        return Ok(None);
    }
    let mut bytes = vec![0; length];
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut bytes)?;
    Ok(Sheet::from_bytes(&bytes))
}
