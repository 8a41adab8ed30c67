use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Table;
use crate::error::Error;
use crate::file::name::Name;

const LOCK: &str = "writer.lock";
/// Number of attempts to lock, and the pause between two: a child forked while the lock was held keeps it until it
/// calls `exec`, even after its parent has ended.
const MAX_ATTEMPTS: usize = 100;
const PAUSE: Duration = Duration::from_millis(10);
/// Prefix of the name of a file that is being written.
pub(crate) const DRAFT: &str = ".draft-";

/// A file whose name is that of a history file; its content has not been checked.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) name: Name,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
}

/// Creates the folders and takes the lock of the directory, which has one writer.
pub(crate) fn lock(dir: &Path) -> Result<File, Error> {
    make_folders(dir)?;
    let path = dir.join(LOCK);
    let file = private_options().create(true).truncate(false).open(&path);
    let file = file.map_err(|error| Error::io(&path, "open the lock file", error))?;
    for tried in 1.. {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if tried < MAX_ATTEMPTS => std::thread::sleep(PAUSE),
            Err(TryLockError::WouldBlock) => return Err(Error::locked(dir)),
            Err(TryLockError::Error(error)) => {
                return Err(Error::io(&path, "lock the file", error));
            }
        }
    }
    Ok(file)
}

/// Creates missing folders, as the directory may have been removed, and takes the lock again if the lock file was
/// replaced: another process may have written a run since, so the number after those of all other instances is
/// returned.
pub(crate) fn restore(dir: &Path, held: &mut File, instance: u64) -> Result<Option<u64>, Error> {
    if is_held(dir, held) {
        return make_folders(dir).map(|()| None);
    }
    let lock = lock(dir)?;
    // only the lock may have been replaced: files of this instance do not count
    let mut others = list(dir)?;
    others.retain(|one| one.name.instance != instance);
    *held = lock;
    Ok(Some(next_run(&others)))
}

/// Returns `true` if this lock is still the directory's lock file, and `false` after the directory was removed.
pub(crate) fn is_held(dir: &Path, held: &File) -> bool {
    is_same(held, &dir.join(LOCK))
}

#[cfg(unix)]
fn is_same(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |found: io::Result<fs::Metadata>| found.map(|found| (found.dev(), found.ino()));
    let (held, there) = (identity(file.metadata()), identity(path.symlink_metadata()));
    matches!((held, there), (Ok(held), Ok(there)) if held == there)
}

#[cfg(not(unix))]
fn is_same(_: &File, path: &Path) -> bool {
    path.exists()
}

fn make_folders(dir: &Path) -> Result<(), Error> {
    for table in Table::ALL {
        let folder = dir.join(table.as_str());
        if folder.is_dir() {
            continue;
        }
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        let made = builder.create(&folder);
        made.map_err(|error| Error::io(&folder, "create the directory", error))?;
    }
    Ok(())
}

/// Options for opening a file that only its owner can access, without following links.
pub(crate) fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32);
    }
    options
}

/// Removes the drafts of a process that was killed. Call it only with the lock held.
pub(crate) fn remove_drafts(dir: &Path) {
    for table in Table::ALL {
        let entries = fs::read_dir(dir.join(table.as_str()));
        for entry in entries.into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name.to_string_lossy().starts_with(DRAFT) {
                // retried at the next start
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Removes a file; returns `false` if it was already gone.
pub(crate) fn remove(path: &Path) -> Result<bool, Error> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io(path, "remove the file", error)),
    }
}

/// Lists the files of all tables, including files that a merge has replaced. Links and anything that is not a regular
/// file are ignored.
pub(crate) fn list(dir: &Path) -> Result<Vec<Found>, Error> {
    let mut found = Vec::new();
    for table in Table::ALL {
        let folder = dir.join(table.as_str());
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound && dir.is_dir() => continue,
            Err(error) => return Err(Error::io(&folder, "list the directory", error)),
        };
        for entry in entries {
            let entry = entry.map_err(|error| Error::io(&folder, "list the directory", error))?;
            let name = entry.file_name();
            let Some(name) = name.to_str().and_then(|name| Name::parse(*table, name)) else {
                continue;
            };
            // the file may have been removed since
            if let Ok(status) = entry.metadata()
                && status.is_file()
            {
                let (path, bytes) = (entry.path(), status.len());
                found.push(Found { name, path, bytes });
            }
        }
    }
    found.sort_by_key(|one| (one.name.group(), one.name.first, one.name.last));
    Ok(found)
}

/// Splits files into those to read and those whose rows are also in another file: left over from an interrupted merge,
/// or in a copy of the directory.
pub(crate) fn distinct<T>(files: Vec<T>, name: impl Fn(&T) -> Name) -> (Vec<T>, Vec<T>) {
    let mut groups: HashMap<_, Vec<Name>> = HashMap::new();
    for name in files.iter().map(&name) {
        groups.entry(name.group()).or_default().push(name);
    }
    let mut seen = std::collections::HashSet::new();
    files.into_iter().partition(|one| {
        let name = name(one);
        let group = groups.get(&name.group());
        let mut group = group.into_iter().flatten();
        !group.any(|other| other.covers(&name)) && seen.insert(name)
    })
}

/// Returns the number of the next run: above those of all files, regardless of the clock.
pub(crate) fn next_run(files: &[Found]) -> u64 {
    let last = files.iter().map(|one| one.name.run).max();
    last.unwrap_or(0).saturating_add(1)
}

/// Returns the bytes available to this process, and the size of the file system in bytes.
#[cfg(unix)]
pub(crate) fn space(dir: &Path) -> Option<(u64, u64)> {
    let found = rustix::fs::statvfs(dir).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Some((bytes(found.f_bavail), bytes(found.f_blocks)))
}

#[cfg(not(unix))]
pub(crate) fn space(_: &Path) -> Option<(u64, u64)> {
    None
}

/// Syncs the names in a folder to disk.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}
