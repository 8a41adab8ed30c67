//! Files of a rotated log, in the order of their numbers.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use crate::output::rotation::behind_links;

/// Numbers in a row without a file that end the search: during a rotation one is missing.
const MAX_HOLE: u32 = 3;
/// Files that are open before and behind the one that is read, each.
pub(super) const MAX_OPEN: usize = 64;
/// Times that files are looked for while they are rotated.
const MAX_TRIES: usize = 20;

/// Returns the files of a rotated log that are there, the oldest first and `path` last: `app.log.2`, `app.log.1`, `app.log`.
///
/// If `path` is a link, the older files are beside the file that it leads to. One or two missing numbers are passed over, and so is what is no regular file.
pub fn with_rotated(path: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = numbered(path).filter(|file| file != path).collect();
    files.reverse();
    files.push(path.to_owned());
    files
}

/// Regular files of these names that are there, the newest first.
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

/// A pipe would wait for its writer.
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

/// Files that are newer than another one, at most [`MAX_OPEN`], the newest first.
#[derive(Default)]
pub(super) struct Newer {
    pub(super) files: Vec<File>,
    /// The other one has a name of the log still.
    pub(super) is_there: bool,
    /// A file that is known to be older has one.
    pub(super) has_older: bool,
}

/// Opens the files that follow on `last`. `None` if they are rotated so quickly that their order cannot be told.
pub(super) fn newer_than(path: &Path, last: &File, older: &[File]) -> io::Result<Option<Newer>> {
    let last = Identity::of(&last.metadata()?);
    let mut known = Vec::with_capacity(older.len());
    for older in older {
        known.push(Identity::of(&older.metadata()?));
    }
    let newest = [path.to_owned(), name(path, 1)];
    for _ in 0..MAX_TRIES {
        // while they are open, no other file has their inodes
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
        // renamed since it was seen: it is found under the next number
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

/// Opens the newest of the files that are older than the one of this name, the oldest first.
pub(super) fn older_than(path: &Path) -> Vec<File> {
    let older = numbered(path).filter(|name| name != path);
    let mut older: Vec<File> = older
        .filter_map(|name| File::open(name).ok())
        .take(MAX_OPEN)
        .collect();
    older.reverse();
    older
}

/// Reports whether a file has a name still; without names it only takes space.
#[cfg(unix)]
pub(super) fn has_name(file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    file.metadata().is_ok_and(|metadata| metadata.nlink() > 0)
}

#[cfg(not(unix))]
pub(super) fn has_name(_: &File) -> bool {
    false
}

/// Identity of a file that is open, whatever its name.
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
        // without inodes a file is taken as the same while it does not become shorter
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
