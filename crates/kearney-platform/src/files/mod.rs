//! Files of the data directory: for this user alone, never through a symbolic link, written whole or not at all.

mod data_dir;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use uuid::Uuid;

pub use data_dir::DataDir;

const PRIVATE_DIR: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;
/// Mark of a file that is not whole yet.
const DRAFT: &str = "part";
/// Endings of the files that DuckDB keeps beside the one that it writes.
const BESIDE: [&str; 2] = [".wal", ".version"];

/// Makes this process create files for its own user only, those of libraries included.
pub fn keep_to_ourselves() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

/// Creates a directory and what is missing above it, mode 0700. One that is there keeps its mode.
pub fn create_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(PRIVATE_DIR)
        .create(path)
}

/// Creates a directory inside of the data directory; a symbolic link in its place is refused.
pub fn create_own_dir(path: &Path) -> io::Result<()> {
    create_dir(path)?;
    refuse_link(path)
}

/// Fails if a symbolic link is there, whatever it leads to.
pub fn refuse_link(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(there) if there.is_symlink() => Err(io::Error::other("it is a symbolic link")),
        _ => Ok(()),
    }
}

/// Opens a lock file and creates it where it is missing. What it holds stays.
pub fn open_lock(path: &Path) -> io::Result<File> {
    careful(OpenOptions::new().read(true).write(true).create(true)).open_whole(path)
}

/// Opens a file for reading that somebody else named. One that is no regular file is refused: a pipe would wait for a writer.
pub fn open_regular(path: &Path) -> io::Result<File> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    File::open(path)
}

/// Reads a file; `None` if it is missing.
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut file = match careful(OpenOptions::new().read(true)).open_whole(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Writes a file whole: into a draft beside it, which is synced and renamed into place.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = Draft::beside(path);
    let mut file = careful(OpenOptions::new().write(true).create_new(true)).open(draft.path())?;
    file.write_all(bytes)?;
    file.sync_all()?;
    draft.commit()
}

/// Deletes the drafts that a process left behind when it died. Only for the owner of the directory.
pub fn sweep(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let parts: Vec<_> = name.split('.').collect();
        // other programs have drafts that end like ours
        let is_draft = parts
            .windows(2)
            .any(|pair| pair[1] == DRAFT && is_unique(pair[0]));
        // a link is removed, never what it points to
        match is_draft {
            true if entry.file_type()?.is_dir() => std::fs::remove_dir_all(entry.path())?,
            true => std::fs::remove_file(entry.path())?,
            false => {}
        }
    }
    Ok(())
}

/// Reports whether a part of a name is one that [`Draft`] gives.
fn is_unique(part: &str) -> bool {
    part.len() == 32 && Uuid::try_parse(part).is_ok()
}

/// A file under a name that nobody else has, removed unless it is committed.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    target: PathBuf,
}

impl Draft {
    /// The draft of `target`, in its directory. Nothing is created yet.
    pub fn beside(target: &Path) -> Self {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let unique = Uuid::now_v7().simple();
        Self {
            path: target.with_file_name(format!("{name}.{unique}.{DRAFT}")),
            target: target.to_owned(),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Renames it into place, and makes that last.
    pub fn commit(self) -> io::Result<()> {
        std::fs::rename(&self.path, &self.target)?;
        let parent = self
            .target
            .parent()
            .filter(|dir| !dir.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    }

    /// Deletes what DuckDB put beside it under its name.
    pub fn remove_beside(&self) -> io::Result<()> {
        for ending in BESIDE {
            match std::fs::remove_file(format!("{}{ending}", self.path.display())) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // renamed by now, or of no use to anybody; a start sweeps what stays
        let _ = std::fs::remove_file(&self.path);
        let _ = self.remove_beside();
    }
}

/// No link is followed, no pipe is waited for, nobody else may read what is created.
fn careful(options: &mut OpenOptions) -> &mut OpenOptions {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits();
    options.mode(PRIVATE_FILE).custom_flags(flags.cast_signed())
}

trait OpenWhole {
    fn open_whole(&self, path: &Path) -> io::Result<File>;
}

impl OpenWhole for OpenOptions {
    /// Opens a plain file, and says why another thing is not.
    fn open_whole(&self, path: &Path) -> io::Result<File> {
        let is_link = |error: &io::Error| {
            error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
        };
        let file = self.open(path).map_err(|error| match is_link(&error) {
            true => io::Error::other("it is a symbolic link"),
            false => error,
        })?;
        if file.metadata()?.is_file() {
            Ok(file)
        } else {
            Err(io::Error::other("it is no plain file"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_planted_link_is_neither_followed_nor_truncated() {
        let dir = tempfile::tempdir().unwrap();
        let [precious, link] = ["precious", "link"].map(|name| dir.path().join(name));
        std::fs::write(&precious, "kept").unwrap();
        symlink(&precious, &link).unwrap();
        for refused in [open_lock(&link).err(), read(&link).err()] {
            assert_eq!(refused.unwrap().to_string(), "it is a symbolic link");
        }
        write(&link, b"new").unwrap();
        assert_eq!(std::fs::read(&precious).unwrap(), b"kept");
        assert_eq!(read(&link).unwrap().unwrap(), b"new");
        let folder = dir.path().join("folder");
        symlink(dir.path(), &folder).unwrap();
        assert!(create_own_dir(&folder).is_err());
    }

    #[test]
    fn a_lock_keeps_what_it_holds_and_new_files_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join("lock");
        std::fs::write(&lock, "somebody's").unwrap();
        drop(open_lock(&lock).unwrap());
        assert_eq!(std::fs::read(&lock).unwrap(), b"somebody's");
        let [file, folder] = ["file", "a/b"].map(|name| dir.path().join(name));
        write(&file, b"").unwrap();
        create_own_dir(&folder).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(&folder)), (0o600, 0o700));
    }

    #[test]
    fn drafts_are_swept_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let unique = Uuid::now_v7().simple();
        let kept = [
            "party.json",
            "part.0.parquet",
            "registry.json",
            "video.mp4.part",
        ];
        let drafts = ["registry.json", "w", "l"].map(|name| format!("{name}.{unique}.part"));
        for name in kept.map(str::to_owned).iter().chain(&drafts[..1]) {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        std::fs::write(dir.path().join(format!("{}.wal", drafts[1])), "").unwrap();
        symlink(dir.path().join("party.json"), dir.path().join(&drafts[2])).unwrap();
        sweep(dir.path()).unwrap();
        let left = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|one| one.unwrap().file_name());
        let mut left: Vec<_> = left.collect();
        left.sort();
        let mut expected = kept;
        expected.sort_unstable();
        assert_eq!(left, expected);
    }
}
