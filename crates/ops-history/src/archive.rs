//! Operations on all files of one or several directories: inventory, removal, copying.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::hash::BuildHasher;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::Table;
use crate::error::{Error, ErrorKind, chain};
use crate::file::directory::{DRAFT, Found, distinct, list, remove};
use crate::file::name::{HOUR_US, Name};
use crate::file::stored::Stored;

/// Maximum number of listings; files are listed again if some of them were merged or removed meanwhile.
const MAX_LISTINGS: usize = 10;

/// Files, rows and bytes of one table.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Held {
    /// Table.
    pub table: Table,
    /// Number of files.
    pub files: u64,
    /// Number of rows.
    pub rows: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// Start of the first hour and end of the last one; `None` without files.
    pub hours: Option<(SystemTime, SystemTime)>,
}

/// Content of one or several directories.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Inventory {
    /// Content of each table.
    pub tables: Vec<Held>,
    /// Files that are ignored, each with the reason.
    pub skipped: Vec<String>,
}

/// Number and size of the files that were removed or copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Moved {
    /// Number of files.
    pub files: u64,
    /// Total size of the files in bytes.
    pub bytes: u64,
}

/// Returns the files, rows and bytes of each table; `verify` also compares the checksum of each file, which reads all
/// of it.
///
/// # Errors
///
/// Fails if a directory cannot be listed.
pub fn inventory(dirs: &[impl AsRef<Path>], verify: bool) -> Result<Inventory, Error> {
    let mut files = Files::of(dirs, &BTreeSet::new())?;
    if verify {
        let bad = files.damaged().into_iter().collect();
        files = Files::of(dirs, &bad)?;
    }
    let tables = Table::ALL.iter().map(|table| {
        let mut held = Held {
            table: *table,
            files: 0,
            rows: 0,
            bytes: 0,
            hours: None,
        };
        for one in files.readable.iter().filter(|one| one.name.table == *table) {
            held.files += 1;
            held.rows += files.rows.get(&one.path).copied().unwrap_or_default();
            held.bytes += one.bytes;
            let (from, to) = hours(&one.name);
            held.hours = Some(
                held.hours
                    .map_or((from, to), |(first, last)| (first.min(from), last.max(to))),
            );
        }
        held
    });
    Ok(Inventory {
        tables: tables.collect(),
        skipped: files.skipped,
    })
}

/// Removes the files whose hour ended at least `age` ago. A process that writes to the directory is not disturbed.
///
/// # Errors
///
/// Fails if the directory cannot be listed, or a file cannot be removed.
pub fn prune(dir: &Path, age: Duration) -> Result<Moved, Error> {
    let now = SystemTime::now();
    let mut removed = Moved::default();
    for one in list(dir)? {
        let (_, end) = hours(&one.name);
        if now.duration_since(end).is_ok_and(|since| since >= age) && remove(&one.path)? {
            removed.files += 1;
            removed.bytes += one.bytes;
        }
    }
    Ok(removed)
}

/// Copies the files of the hours from `since` to `until` into a directory, which can then be queried like any other
/// history. Files that already exist there are not overwritten. The source directories may be written to meanwhile.
///
/// # Errors
///
/// Fails if a directory cannot be listed or created, or a file cannot be copied.
pub fn export(
    dirs: &[impl AsRef<Path>],
    to: &Path,
    since: SystemTime,
    until: SystemTime,
) -> Result<Moved, Error> {
    copy_all(dirs, since, until, |one| copy(one, to))
}

/// Passes the files of these hours to `copy`, which returns the bytes of a file, or `None` if the target exists. Lists
/// the files again if one of them was removed meanwhile.
pub(crate) fn copy_all(
    dirs: &[impl AsRef<Path>],
    since: SystemTime,
    until: SystemTime,
    mut copy: impl FnMut(&Found) -> Result<Option<u64>, Error>,
) -> Result<Moved, Error> {
    let mut copied = Moved::default();
    for listing in 1.. {
        let mut gone = None;
        for one in Files::of(dirs, &BTreeSet::new())?.readable {
            if !overlaps(&one.name, Some(since), Some(until)) {
                continue;
            }
            match copy(&one) {
                Ok(Some(bytes)) => {
                    copied.files += 1;
                    copied.bytes += bytes;
                }
                Ok(None) => {}
                // merged meanwhile: its rows are in another file
                Err(error) if !one.path.exists() => gone = Some(error),
                Err(error) => return Err(error),
            }
        }
        match gone {
            Some(error) if listing == MAX_LISTINGS => return Err(error),
            Some(_) => {}
            None => break,
        }
    }
    Ok(copied)
}

/// Copies a file and returns its bytes; `None` if the target exists.
fn copy(one: &Found, to: &Path) -> Result<Option<u64>, Error> {
    let folder = to.join(one.name.table.as_str());
    let made = fs::create_dir_all(&folder);
    made.map_err(|error| Error::io(&folder, "create the directory", error))?;
    let path = folder.join(one.name.text());
    if path.exists() {
        return Ok(None);
    }
    // unique name: another export may copy the same file to the same folder meanwhile
    let unique = RandomState::new().hash_one((std::process::id(), SystemTime::now()));
    let draft = folder.join(format!("{DRAFT}{unique:016x}-{}", one.name.text()));
    let copied =
        fs::copy(&one.path, &draft).and_then(|bytes| fs::rename(&draft, &path).map(|()| bytes));
    if copied.is_err() {
        // if this fails, the draft is removed when a history is opened there
        let _ = fs::remove_file(&draft);
    }
    let copied = copied.map_err(|error| Error::io(&one.path, "copy the file", error))?;
    Ok(Some(copied))
}

/// Returns `true` if the hour of a file overlaps the time from `since` to `until`.
pub(crate) fn overlaps(name: &Name, since: Option<SystemTime>, until: Option<SystemTime>) -> bool {
    let (from, end) = hours(name);
    since.is_none_or(|since| end > since) && until.is_none_or(|until| from < until)
}

/// Returns the start and end of the hour of a file.
fn hours(name: &Name) -> (SystemTime, SystemTime) {
    let hour = u64::try_from(name.hour).unwrap_or_default();
    let from = SystemTime::UNIX_EPOCH + Duration::from_micros(hour * HOUR_US as u64);
    (from, from + Duration::from_micros(HOUR_US as u64))
}

/// Files to read, and files that are ignored.
#[derive(Default)]
pub(crate) struct Files {
    pub(crate) readable: Vec<Found>,
    /// Number of rows of each readable file.
    rows: HashMap<PathBuf, u64>,
    pub(crate) skipped: Vec<String>,
}

impl Files {
    pub(crate) fn of(
        dirs: &[impl AsRef<Path>],
        damaged: &BTreeSet<PathBuf>,
    ) -> Result<Self, Error> {
        let mut files = Self::default();
        for _ in 0..MAX_LISTINGS {
            let gone;
            (files, gone) = Self::list_once(dirs, damaged)?;
            // files that are gone were merged meanwhile: their rows are in other files
            if gone == 0 {
                break;
            }
        }
        files.readable = distinct(files.readable, |one| one.name).0;
        Ok(files)
    }

    /// Lists the files, and counts those removed meanwhile.
    fn list_once(
        dirs: &[impl AsRef<Path>],
        damaged: &BTreeSet<PathBuf>,
    ) -> Result<(Self, usize), Error> {
        let (mut files, mut gone) = (Self::default(), 0);
        for dir in dirs {
            let dir = dir.as_ref();
            let canonical = dir.canonicalize();
            let dir = canonical.map_err(|error| Error::io(dir, "open the directory", error))?;
            for one in list(&dir)? {
                if damaged.contains(&one.path) {
                    files
                        .skipped
                        .push(format!("{}: checksum mismatch", one.path.display()));
                    continue;
                }
                match Stored::open(&one) {
                    Ok(stored) => {
                        files.rows.insert(one.path.clone(), stored.rows);
                        files.readable.push(one);
                    }
                    Err(_) if !one.path.exists() => gone += 1,
                    Err(error) => files.skipped.push(chain(&error)),
                }
            }
        }
        Ok((files, gone))
    }

    /// Reads all files, and returns those whose checksum is wrong.
    pub(crate) fn damaged(&self) -> Vec<PathBuf> {
        let bad = |one: &&Found| {
            let verified = Stored::open(one).and_then(|stored| stored.verify(&one.path));
            verified.is_err_and(|error| error.kind() == ErrorKind::Unreadable)
        };
        let bad = self.readable.iter().filter(bad);
        bad.map(|one| one.path.clone()).collect()
    }
}
