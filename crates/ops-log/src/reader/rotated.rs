//! Files of a rotated log, by their numbers.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use crate::output::rotation::behind_links;

/// Number of consecutive missing files that ends the search: during a rotation one is missing.
const MAX_HOLE: u32 = 3;
/// Maximum number of open files before the current one, and after it.
pub(super) const MAX_OPEN: usize = 64;
/// Maximum number of attempts to list files that are being rotated.
const MAX_TRIES: usize = 20;

/// Returns the existing files of a rotated log, the oldest
/// first and `path` last: `app.log.2`, `app.log.1`, `app.log`.
///
/// If `path` is a link, the older files are beside its target. One or two
/// missing numbers are skipped, and so is anything that is not a regular file.
pub fn with_rotated(path: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = numbered(path).filter(|file| file != path).collect();
    files.reverse();
    files.push(path.to_owned());
    files
}

/// Returns the existing regular files of these names, the newest first.
fn numbered(path: &Path) -> impl Iterator<Item = PathBuf> {
    let (mut number, mut hole) = (0_u32, 0);
    std::iter::from_fn(move || {
        while hole < MAX_HOLE {
            let name = name(path, number);
            number += 1;
            if std::fs::metadata(&name).is_ok_and(|metadata| metadata.is_file()) {
                hole = 0;
                return Some(name);
            }
            hole += 1;
        }
        None
    })
}

/// Opens a regular file only, because opening a pipe would block.
fn open_regular(name: &Path) -> Option<File> {
    if !std::fs::metadata(name).is_ok_and(|metadata| metadata.is_file()) {
        return None;
    }
    File::open(name).ok()
}

fn name(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = behind_links(path).into_os_string();
    name.push(format!(".{number}"));
    name.into()
}

/// Files newer than a given one, at most [`MAX_OPEN`], the newest first.
#[derive(Default)]
pub(super) struct Newer {
    pub(super) files: Vec<File>,
    /// Set if the given file still has a name of the log.
    pub(super) is_there: bool,
    /// Set if a file known to be older has one.
    pub(super) has_older: bool,
}

/// Opens the files that follow `last`. `None` if they are rotated too quickly to determine their order.
pub(super) fn newer_than(path: &Path, last: &File, older: &[File]) -> io::Result<Option<Newer>> {
    let last = Identity::of(&last.metadata()?);
    let mut known = Vec::with_capacity(older.len());
    for older in older {
        known.push(Identity::of(&older.metadata()?));
    }
    let newest = [path.to_owned(), name(path, 1)];
    for _ in 0..MAX_TRIES {
        // while they are open, their inodes are not reused
        let before = newest.each_ref().map(|name| open_regular(name));
        let newer = scan(path, &last, &known)?;
        let is_still = |(file, name): (&Option<File>, &PathBuf)| {
            let file = file.as_ref().and_then(|file| file.metadata().ok());
            let of = |metadata: &Metadata| Identity::of(metadata).inode;
            file.as_ref().map(of) == std::fs::metadata(name).ok().as_ref().map(of)
        };
        if before.iter().zip(&newest).all(is_still) {
            return Ok(Some(newer));
        }
    }
    Ok(None)
}

fn scan(path: &Path, last: &Identity, known: &[Identity]) -> io::Result<Newer> {
    let mut newer = Newer::default();
    let mut seen: Vec<Identity> = Vec::new();
    for name in numbered(path) {
        // renamed since it was listed: it is found under the next number
        let file = match File::open(&name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file?,
        };
        let identity = Identity::of(&file.metadata()?);
        let is_one_of =
            |files: &[Identity]| cfg!(unix) && files.iter().any(|file| identity.is(file));
        newer.is_there = identity.is(last);
        newer.has_older = is_one_of(known);
        if newer.is_there || newer.has_older {
            break;
        }
        if is_one_of(&seen) {
            continue;
        }
        seen.push(identity);
        if newer.files.len() == MAX_OPEN {
            newer.files.remove(0);
        }
        newer.files.push(file);
    }
    Ok(newer)
}

/// Opens the newest of the files older than `path`, the oldest first.
pub(super) fn older_than(path: &Path) -> Vec<File> {
    let older = numbered(path).filter(|name| name != path);
    let mut older: Vec<File> = older
        .filter_map(|name| File::open(name).ok())
        .take(MAX_OPEN)
        .collect();
    older.reverse();
    older
}

/// Returns `true` if a file still has a name; otherwise it only takes up space.
#[cfg(unix)]
pub(super) fn has_name(file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    file.metadata().is_ok_and(|metadata| metadata.nlink() > 0)
}

#[cfg(not(unix))]
pub(super) fn has_name(_: &File) -> bool {
    false
}

/// Identity of an open file, independent of its name.
#[derive(Clone, Copy, Debug)]
struct Identity {
    inode: (u64, u64),
    len: u64,
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: inode(metadata),
            len: metadata.len(),
        }
    }

    fn is(&self, other: &Self) -> bool {
        // without inodes a file counts as the same as long as it does not become shorter
        self.inode == other.inode && (cfg!(unix) || self.len >= other.len)
    }
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> (u64, u64) {
    (0, 0)
}
