//! Copies files of a bucket to a local directory.

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

/// Maximum number of attempts to copy the files of a bucket, which is listed again if one was removed meanwhile.
const MAX_ATTEMPTS: usize = 5;

/// Selection of files to copy, and its limits.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Wanted {
    /// Tables to copy; all unless set.
    pub tables: Vec<Table>,
    /// Start of the hours to copy; `None` for no lower bound.
    pub since: Option<SystemTime>,
    /// End of the hours to copy; `None` for no upper bound.
    pub until: Option<SystemTime>,
    /// Maximum bytes of all files of all prefixes together; beyond it nothing is copied. 1 GiB unless set.
    pub bytes: u64,
    /// Time limit for the whole call; 60 s unless set.
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

/// A directory with files of a bucket; removed on drop.
#[derive(Debug)]
pub struct LocalCopy {
    folder: TempDir,
    files: u64,
    bytes: u64,
    skipped: Vec<String>,
}

impl LocalCopy {
    /// Returns the directory, which can be queried like any other history.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the number of files.
    pub fn files(&self) -> u64 {
        self.files
    }

    /// Returns the total size of the files in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the objects that were ignored, each with the reason.
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }
}

pub(super) fn fetch(prefixes: &[Prefix], wanted: &Wanted) -> Result<Vec<LocalCopy>, Error> {
    let buckets = prefixes.iter();
    let buckets = buckets.map(|prefix| Bucket::open(prefix, wanted.time));
    let buckets = buckets.collect::<Result<Vec<_>, Error>>()?;
    let listed = buckets.iter().map(|bucket| list(bucket, wanted));
    let listed = listed.collect::<Result<Vec<_>, Error>>()?;
    let mut selection = Selection::default();
    listed.iter().for_each(|objects| selection.add(objects));
    if selection.bytes > wanted.bytes {
        let urls: Vec<_> = buckets.iter().map(Bucket::url).collect();
        return Err(selection.too_much(&urls.join(", "), wanted.bytes));
    }
    let mut copies = Vec::new();
    for (bucket, objects) in buckets.iter().zip(listed) {
        // the limit is shared: subtract the bytes of the other prefixes
        let own = Selection::of(&objects).bytes;
        let limit = wanted.bytes.saturating_sub(selection.bytes - own);
        let copy = copy_with_retries(bucket, objects, wanted, limit)?;
        selection.bytes = selection.bytes - own + copy.bytes;
        copies.push(copy);
    }
    Ok(copies)
}

/// Lists the wanted files of a bucket.
fn list(bucket: &Bucket, wanted: &Wanted) -> Result<Vec<Object>, Error> {
    let mut objects = bucket.list()?;
    if objects.is_empty() {
        let why = "no history files below this prefix; expected a copy of a history directory: PREFIX/logs/…";
        return Err(Error::bucket(bucket.url(), why));
    }
    objects.retain(|object| {
        wanted.tables.contains(&object.name.table)
            && overlaps(&object.name, wanted.since, wanted.until)
    });
    Ok(objects)
}

/// Files to copy, without those that were merged into others.
#[derive(Default)]
struct Selection {
    files: usize,
    bytes: u64,
}

impl Selection {
    fn of(objects: &[Object]) -> Self {
        let objects = objects.iter().map(|object| (object.name, object.bytes));
        let (chosen, _) = distinct(objects.collect(), |(name, _)| *name);
        Self {
            files: chosen.len(),
            bytes: chosen.iter().map(|(_, bytes)| bytes).sum(),
        }
    }

    fn add(&mut self, objects: &[Object]) {
        let more = Self::of(objects);
        self.files += more.files;
        self.bytes = self.bytes.saturating_add(more.bytes);
    }

    fn too_much(&self, urls: &str, limit: u64) -> Error {
        let Self { files, bytes } = self;
        let why = format!(
            "{files} files with {bytes} bytes exceed the limit of {limit} bytes: request fewer hours, or raise the limit"
        );
        Error::bucket(urls, why)
    }
}

/// Copies files; lists the bucket again if one of them is removed meanwhile.
fn copy_with_retries(
    bucket: &Bucket,
    mut objects: Vec<Object>,
    wanted: &Wanted,
    limit: u64,
) -> Result<LocalCopy, Error> {
    for _ in 0..MAX_ATTEMPTS {
        if let Some(copy) = copy(bucket, objects, limit)? {
            return Ok(copy);
        }
        objects = list(bucket, wanted)?;
    }
    let why = format!("files were removed {MAX_ATTEMPTS} times while they were copied");
    Err(Error::bucket(bucket.url(), why))
}

/// Copies once; `None` if a file was removed meanwhile, as its rows may be in another file now.
fn copy(bucket: &Bucket, mut objects: Vec<Object>, limit: u64) -> Result<Option<LocalCopy>, Error> {
    let folder = tempfile::Builder::new().prefix("ops-history-").tempdir();
    let folder = folder.map_err(|error| {
        let place = std::env::temp_dir();
        Error::io(&place, "create a directory for the copy", error)
    })?;
    for table in Table::ALL {
        let folder = folder.path().join(table.as_str());
        fs::create_dir(&folder)
            .map_err(|error| Error::io(&folder, "create the directory", error))?;
    }
    let mut copy = LocalCopy {
        folder,
        files: 0,
        bytes: 0,
        skipped: Vec::new(),
    };
    // if a file that covers others is damaged, the covered files are copied instead
    loop {
        let selection = Selection::of(&objects);
        if selection.bytes > limit {
            return Err(selection.too_much(bucket.url(), limit));
        }
        let (chosen, covered) = distinct(objects, |object| object.name);
        let mut whole = Vec::new();
        for object in chosen {
            let found = local_file(&object, copy.dir());
            if !found.path.exists() {
                if !bucket.read(&object, &found.path)? {
                    return Ok(None);
                }
                if let Some(why) = remove_if_damaged(&found)? {
                    let object = bucket.url_of(&object);
                    copy.skipped.push(format!("{object}: {why}"));
                    continue;
                }
            }
            whole.push(object);
        }
        if whole.len() == selection.files {
            (copy.files, copy.bytes) = (selection.files as u64, selection.bytes);
            return Ok(Some(copy));
        }
        objects = whole;
        objects.extend(covered);
    }
}

/// Removes a damaged file and returns the reason.
fn remove_if_damaged(found: &Found) -> Result<Option<String>, Error> {
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

fn local_file(object: &Object, dir: &Path) -> Found {
    let folder = dir.join(object.name.table.as_str());
    Found {
        name: object.name,
        path: folder.join(object.name.text()),
        bytes: object.bytes,
    }
}
