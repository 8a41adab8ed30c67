//! Files of a bucket as a directory of this machine.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::bucket::{Bucket, Object};
use super::prefix::Prefix;
use crate::Table;
use crate::archive::overlaps;
use crate::error::{Error, ErrorKind, chain};
use crate::file::directory::{Found, distinct};
use crate::file::stored::Stored;

/// Times that a bucket is listed again because files went away meanwhile.
const TRIES: usize = 5;

/// Files that are copied, and limits of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Wanted {
    /// Tables; all unless set.
    pub tables: Vec<Table>,
    /// The hours from this time on; all if `None`.
    pub since: Option<SystemTime>,
    /// The hours up to this time; all if `None`.
    pub until: Option<SystemTime>,
    /// Bytes of all files together; with more of them nothing is copied. 1 GiB unless set.
    pub bytes: u64,
    /// Time for all of it; 60 s unless set.
    pub time: Duration,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            tables: Table::ALL.to_vec(),
            since: None,
            until: None,
            bytes: 1 << 30,
            time: Duration::from_secs(60),
        }
    }
}

/// A directory with files of a bucket, which is removed when this is dropped.
#[derive(Debug)]
pub struct LocalCopy {
    folder: TempDir,
    files: u64,
    bytes: u64,
    skipped: Vec<String>,
}

impl LocalCopy {
    /// Returns the directory, which is a history like any other.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// Number of files in it.
    pub fn files(&self) -> u64 {
        self.files
    }

    /// Their bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Objects that are left out, each with the reason.
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }
}

pub(super) fn fetch(prefix: &Prefix, wanted: &Wanted) -> Result<LocalCopy, Error> {
    let bucket = Bucket::open(prefix, wanted.time)?;
    for _ in 0..TRIES {
        if let Some(copy) = copy(&bucket, wanted)? {
            return Ok(copy);
        }
    }
    let why = format!("files went away {TRIES} times while they were copied");
    Err(Error::bucket(bucket.url(), why))
}

/// Copies once; `None` if a file went away, as its rows may be in another one now.
fn copy(bucket: &Bucket, wanted: &Wanted) -> Result<Option<LocalCopy>, Error> {
    let mut objects = bucket.list()?;
    if objects.is_empty() {
        let why = "there is no file of a history below it; accepted is the copy of a directory: PREFIX/logs/…";
        return Err(Error::bucket(bucket.url(), why));
    }
    objects.retain(|object| {
        wanted.tables.contains(&object.name.table)
            && overlaps(&object.name, wanted.since, wanted.until)
    });
    let folder = tempfile::Builder::new().prefix("ops-history-").tempdir();
    let folder = folder.map_err(|error| {
        let place = std::env::temp_dir();
        Error::io(&place, "make a folder for the copy", error)
    })?;
    for table in Table::ALL {
        let folder = folder.path().join(table.as_str());
        fs::create_dir(&folder).map_err(|error| Error::io(&folder, "make the folder", error))?;
    }
    let mut copy = LocalCopy {
        folder,
        files: 0,
        bytes: 0,
        skipped: Vec::new(),
    };
    // a file that covers others may be damaged: those are wanted then
    loop {
        let (chosen, covered) = distinct(objects, |object| object.name);
        let bytes: u64 = chosen.iter().map(|object| object.bytes).sum();
        if bytes > wanted.bytes {
            return Err(too_much(bucket, chosen.len(), bytes, wanted.bytes));
        }
        let (count, mut whole) = (chosen.len(), Vec::new());
        for object in chosen {
            let found = local(&object, copy.dir());
            if !found.path.exists() {
                if !bucket.read(&object, &found.path)? {
                    return Ok(None);
                }
                if let Some(why) = damage(&found)? {
                    let object = bucket.url_of(&object);
                    copy.skipped.push(format!("{object}: {why}"));
                    continue;
                }
            }
            whole.push(object);
        }
        if whole.len() == count {
            (copy.files, copy.bytes) = (count as u64, bytes);
            return Ok(Some(copy));
        }
        objects = whole;
        objects.extend(covered);
    }
}

/// Removes a file that is damaged, and returns the reason.
fn damage(found: &Found) -> Result<Option<String>, Error> {
    let verified = Stored::open(found).and_then(|stored| stored.verify(&found.path));
    match verified {
        Ok(()) => Ok(None),
        Err(error) if error.kind() == ErrorKind::Unreadable => {
            let removed = fs::remove_file(&found.path);
            removed.map_err(|error| Error::io(&found.path, "remove the file", error))?;
            let why = chain(&error);
            let path = format!("{}: ", found.path.display());
            Ok(Some(why.strip_prefix(&path).unwrap_or(&why).to_owned()))
        }
        Err(error) => Err(error),
    }
}

fn too_much(bucket: &Bucket, files: usize, bytes: u64, limit: u64) -> Error {
    let why = format!(
        "{files} files with {bytes} bytes are asked for, and at most {limit} bytes are copied: ask for fewer hours, or raise the limit"
    );
    Error::bucket(bucket.url(), why)
}

fn local(object: &Object, dir: &Path) -> Found {
    let folder = dir.join(object.name.table.as_str());
    Found {
        name: object.name,
        path: folder.join(object.name.text()),
        bytes: object.bytes,
    }
}
