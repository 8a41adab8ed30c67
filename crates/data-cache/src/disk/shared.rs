//! Agreement between processes that share a directory: a count of invalidations, and a lock for the moments that decide.

use std::fs::{File, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::time::{Duration, Instant};

use super::Disk;
use super::file::{open_regular, open_shared};
use super::layout::unique_id;

/// Bytes of the file: lineage and count.
const LENGTH: u64 = 24;

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
        Self {
            lineage: draw() << 64 | draw(),
            count: 0,
        }
    }

    fn from_bytes(bytes: [u8; 24]) -> Self {
        let (mut lineage, mut count) = ([0; 16], [0; 8]);
        lineage.copy_from_slice(&bytes[..16]);
        count.copy_from_slice(&bytes[16..]);
        Self {
            lineage: u128::from_le_bytes(lineage),
            count: u64::from_le_bytes(count),
        }
    }

    fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(&self.lineage.to_le_bytes());
        bytes[16..].copy_from_slice(&self.count.to_le_bytes());
        bytes
    }

    /// Returns `true` if this count cannot come after `seen`: the directory is another one, or an older copy of itself.
    pub(crate) fn went_back_from(self, seen: Self) -> bool {
        self.lineage != seen.lineage || self.count < seen.count
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
            exclusive.write(Generation::first())?;
        }
        Ok(exclusive)
    }

    /// Returns the count of invalidations by any process; `None` if it cannot be read.
    pub(crate) fn generation(&self) -> Option<Generation> {
        match open_regular(&self.generation_path()) {
            Ok(Some((file, _))) => read(&file).ok().flatten(),
            Ok(None) | Err(_) => None,
        }
    }
}

impl Exclusive {
    pub(crate) fn generation(&self) -> io::Result<Generation> {
        read(&self.file)?.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
    }

    /// Counts one more, and says what the count is now.
    pub(crate) fn advance(&self) -> io::Result<Generation> {
        let mut next = self.generation()?;
        next.count = next.count.wrapping_add(1);
        self.write(next)?;
        Ok(next)
    }

    fn write(&self, generation: Generation) -> io::Result<()> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&generation.to_bytes())
    }
}

/// `None` for a file that holds no count.
fn read(mut file: &File) -> io::Result<Option<Generation>> {
    if file.metadata()?.len() != LENGTH {
        return Ok(None);
    }
    let mut bytes = [0; 24];
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut bytes)?;
    Ok(Some(Generation::from_bytes(bytes)))
}
