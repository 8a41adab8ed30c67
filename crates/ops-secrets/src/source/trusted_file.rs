//! Files that may hold secrets: regular, of bounded size, and not writable by other users.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Maximum number of attempts at a file that changes while it is read.
const TRIES: usize = 5;
/// Maximum number of attempts at a path whose links change each time: Kubernetes swaps them once a minute at most.
const MAX_SWAPS: usize = 100;
/// Maximum number of links on a path, as in Linux.
const MAX_LINKS: usize = 40;

/// Content of a file, and the stamp that shows whether it changed.
pub(crate) struct TrustedFile {
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    pub(crate) stamp: Stamp,
}

/// Metadata that changes whenever the content of a file does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stamp {
    modified: Time,
    /// Cannot be set, not even with `touch -d`.
    changed: Time,
    len: u64,
    device: u64,
    inode: u64,
    mode: u32,
    owner: u32,
}

type Time = (i64, i64);

/// Reason why there is no content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    NotFound,
    /// The file cannot be used until it is changed.
    Problem(String),
    /// Temporary failure of the system: too many open files, a disk error.
    Failed(String),
}

impl Stamp {
    /// Returns the stamp of the file that the path currently leads to.
    pub(crate) fn at(path: &Path) -> Result<Self, Refused> {
        let metadata = reach(path, || fs::metadata(path))?;
        Ok(Self::of(&metadata))
    }

    /// Returns the change that the file's permissions need.
    pub(crate) fn readable_by_others(&self) -> Option<&'static str> {
        (self.mode & 0o044 != 0).then_some("readable by other users: chmod 600")
    }

    pub(crate) fn readable_by_all(&self) -> bool {
        self.mode & 0o004 != 0
    }

    fn acceptable(&self, is_file: bool, max: u64) -> Result<(), Refused> {
        let problem = if !is_file {
            "not a regular file".to_owned()
        } else if self.len > max {
            too_large(max)
        } else if self.mode & 0o002 != 0 {
            "writable by all users: chmod 600".into()
        } else if self.mode & 0o020 != 0 {
            let mode = self.mode & 0o7777;
            format!("mode {mode:04o}: writable by its group: chmod 600")
        } else if !self.has_trusted_owner() {
            let (owner, mode) = (self.owner, self.mode & 0o7777);
            format!(
                "mode {mode:04o}: owned by user {owner}; expected root or the user of this process"
            )
        } else {
            return Ok(());
        };
        Err(Refused::Problem(problem))
    }
}

/// Reads a file of at most `max` bytes. A file that is swapped or written
/// meanwhile is read again, so that old and new content never mix.
pub(crate) fn read(path: &Path, max: u64) -> Result<TrustedFile, Refused> {
    for _ in 0..TRIES {
        let file = reach(path, || open(path))?;
        let metadata = file.metadata().map_err(refused)?;
        let stamp = Stamp::of(&metadata);
        stamp.acceptable(metadata.is_file(), max)?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(metadata.len() as usize + 1));
        let mut limited = (&file).take(max + 1);
        limited.read_to_end(&mut bytes).map_err(refused)?;
        if bytes.len() as u64 > max {
            return Err(Refused::Problem(too_large(max)));
        }
        let after = file.metadata().map_err(refused)?;
        if Stamp::of(&after) == stamp && bytes.len() as u64 == stamp.len {
            return Ok(TrustedFile { bytes, stamp });
        }
    }
    let changing = "the file changed during each attempt to read it";
    Err(Refused::Failed(changing.into()))
}

/// Accesses a path. While Kubernetes swaps a folder, a link may lead to the old one, which is removed before the file
/// in it is reached. The file is missing only if the links on the way lead to the same place before and after an attempt.
fn reach<T>(path: &Path, access: impl Fn() -> io::Result<T>) -> Result<T, Refused> {
    let mut before = None;
    for _ in 0..MAX_SWAPS {
        match access() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            reached => return reached.map_err(refused),
        }
        let after = linked_place(path);
        if after.is_none() || after == before {
            return Err(Refused::NotFound);
        }
        before = after;
    }
    let changing = "the path changed during each attempt to follow it";
    Err(Refused::Failed(changing.into()))
}

/// Returns the place that a path leads to, up to the first part
/// of it that is missing; `None` if there is no link on the way.
fn linked_place(path: &Path) -> Option<PathBuf> {
    let reversed = |path: &Path| path.iter().rev().map(OsStr::to_owned).collect::<Vec<_>>();
    let (mut place, mut links) = (PathBuf::new(), 0);
    let mut left = reversed(path);
    while let Some(part) = left.pop() {
        if part == ".." {
            place.pop(); // there is no link in it
            continue;
        }
        place.push(part);
        match fs::read_link(&place) {
            Ok(target) if links < MAX_LINKS => {
                links += 1;
                place.pop();
                left.extend(reversed(&target));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            _ => {}
        }
    }
    (links > 0).then_some(place)
}

/// Returns the path made absolute, independent of later changes of the working directory.
pub(crate) fn anchored(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn refused(error: io::Error) -> Refused {
    match error.kind() {
        io::ErrorKind::NotFound => Refused::NotFound,
        _ if is_temporary(&error) => Refused::Failed(error.to_string()),
        _ => Refused::Problem(error.to_string()),
    }
}

/// Returns whether a failure is unrelated to the file.
#[cfg(unix)]
fn is_temporary(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::MFILE
                | Errno::NFILE
                | Errno::NOMEM
                | Errno::INTR
                | Errno::AGAIN
                | Errno::IO
                | Errno::STALE
                | Errno::TIMEDOUT
        )
    )
}

#[cfg(not(unix))]
fn is_temporary(_: &io::Error) -> bool {
    false
}

fn too_large(max: u64) -> String {
    format!("exceeds the limit of {max} bytes")
}

/// Opens a file without waiting for the other end of a pipe.
#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits();
    fs::OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking as i32)
        .open(path)
}

#[cfg(unix)]
impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self {
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            len: metadata.len(),
            device: metadata.dev(),
            inode: metadata.ino(),
            mode: metadata.mode(),
            owner: metadata.uid(),
        }
    }

    fn has_trusted_owner(&self) -> bool {
        self.owner == 0 || self.owner == rustix::process::geteuid().as_raw()
    }
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

#[cfg(not(unix))]
impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let since = metadata.modified().ok().and_then(|modified| {
            let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
            Some((since.as_secs() as i64, i64::from(since.subsec_nanos())))
        });
        Self {
            modified: since.unwrap_or_default(),
            changed: (0, 0),
            len: metadata.len(),
            device: 0,
            inode: 0,
            mode: 0,
            owner: 0,
        }
    }

    fn has_trusted_owner(&self) -> bool {
        true
    }
}
