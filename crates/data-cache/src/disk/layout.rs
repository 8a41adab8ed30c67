//! Layout of the directory.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use super::Disk;
use super::file::open_regular;
use crate::key::Key;

const FORMAT: &str = "data-cache 1\n";
/// Maximum number of bytes read from FORMAT; a longer file was not written by this crate.
const MAX_FORMAT_BYTES: u64 = 4096;
/// <https://bford.info/cachedir/>: backup programs skip such directories.
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n# kept by data-cache; may be deleted at any time\n";

/// Returns an id that is unique across processes and time: lower-case hexadecimal digits.
pub(crate) fn unique_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{:x}{:08x}{next:08x}", now.as_nanos(), std::process::id())
}

/// Returns a number that is almost certainly unique.
pub(super) fn unique_number() -> u64 {
    let digest = twox_hash::XxHash3_128::oneshot(unique_id().as_bytes());
    u64::try_from(digest >> 64).unwrap_or_default()
}

/// Opens a directory: see [`prepare`]. Logs a warning if other users may enter it.
pub(super) fn open(dir: &Path) -> io::Result<()> {
    prepare(dir)?;
    report_open_to_others(dir);
    Ok(())
}

/// Creates the directories. A directory with other contents is an error.
pub(super) fn prepare(dir: &Path) -> io::Result<()> {
    match format_of(&dir.join("FORMAT"))?.as_deref() {
        Some(FORMAT) => {}
        Some(text) if !is_blank(text) => return Err(other_format(text)),
        Some(_) | None => refuse_foreign(dir)?,
    }
    create_private(&dir.join("v1"))?;
    create_private(&dir.join("tmp"))?;
    // renamed into place, since another process may open the directory at this moment
    for (name, text) in [("CACHEDIR.TAG", TAG), ("FORMAT", FORMAT)] {
        if !is_written(&dir.join(name)) {
            let temporary = dir.join("tmp").join(unique_id());
            fs::write(&temporary, text)?;
            fs::rename(&temporary, dir.join(name))?;
        }
    }
    // another version may have been faster
    match format_of(&dir.join("FORMAT"))?.as_deref() {
        Some(FORMAT) => Ok(()),
        text => Err(other_format(text.unwrap_or_default())),
    }
}

fn other_format(text: &str) -> io::Error {
    io::Error::other(format!(
        "its FORMAT file contains {:?}, this version expects {FORMAT:?}; the directory may be deleted and is then filled again",
        text.chars().take(40).collect::<String>()
    ))
}

/// Returns `true` for a text that a power cut may leave: empty, or zeros.
fn is_blank(text: &str) -> bool {
    text.trim_matches('\0').is_empty()
}

/// Returns `true` for a file that has contents, or cannot be read.
fn is_written(path: &Path) -> bool {
    let is_file = fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
    is_file && format_of(path).map_or(true, |text| text.is_some_and(|text| !is_blank(&text)))
}

/// Returns the start of a FORMAT file; `None` if there is none.
/// Anything but a regular file is an error, and is not followed.
fn format_of(path: &Path) -> io::Result<Option<String>> {
    let file = match open_regular(path) {
        Ok(Some((file, _))) => file,
        Ok(None) => return Err(io::Error::other("its FORMAT is not a regular file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = Vec::new();
    file.take(MAX_FORMAT_BYTES).read_to_end(&mut text)?;
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

/// Logs a warning for a directory in which users other than its owner could replace entries or hold the lock.
#[cfg(unix)]
fn report_open_to_others(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;

    let mode = fs::metadata(dir).map_or(0, |found| found.permissions().mode() & 0o777);
    if mode & 0o077 != 0 {
        tracing::warn!(
            target: "data_cache",
            dir = %dir.display(),
            mode = format!("{mode:o}"),
            effect = "accepted, but mode 700 is safer", "cache_directory_open_to_others"
        );
    }
}

#[cfg(not(unix))]
fn report_open_to_others(_: &Path) {}

/// Fails if the directory contains foreign files. Another process that opens the directory at the same time may have
/// created its directories, but not its FORMAT file yet.
fn refuse_foreign(dir: &Path) -> io::Result<()> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Ok(());
    };
    for entry in entries {
        let name = entry?.file_name();
        let known = [
            "v1",
            "tmp",
            "CACHEDIR.TAG",
            "FORMAT",
            "generation",
            "orders",
            "journal",
            "invalidations.jsonl",
            // in the root of every ext2, ext3 or ext4 file system
            "lost+found",
        ];
        if !known.iter().any(|known| name == *known) {
            return Err(io::Error::other(format!(
                "the directory contains {name:?}, which does not belong to a cache; expected an empty directory, one \
                 that does not exist, or one with a FORMAT file"
            )));
        }
    }
    Ok(())
}

fn create_private(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

impl Disk {
    pub(super) fn entries_dir(&self) -> PathBuf {
        self.dir.join("v1")
    }

    pub(super) fn temporary_dir(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    pub(super) fn log_path(&self) -> PathBuf {
        self.dir.join("invalidations.jsonl")
    }

    pub(super) fn journal_path(&self) -> PathBuf {
        self.dir.join("journal")
    }

    pub(super) fn orders_path(&self) -> PathBuf {
        self.dir.join("orders")
    }

    pub(super) fn generation_path(&self) -> PathBuf {
        self.dir.join("generation")
    }

    /// Writes a file under a unique temporary name.
    pub(super) fn write_temporary(
        &self,
        bytes: &[u8],
        halfway: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<PathBuf> {
        let path = self.temporary_dir().join(format!("{}.part", unique_id()));
        let written = self.write_all(&path, bytes, halfway);
        if written.is_err() {
            let _ = fs::remove_file(&path);
        }
        written.map(|()| path)
    }

    fn write_all(
        &self,
        path: &Path,
        bytes: &[u8],
        halfway: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let mut options = fs::File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        let (first, second) = bytes.split_at(bytes.len() / 2);
        file.write_all(first)?;
        halfway()?;
        file.write_all(second)?;
        self.sync(&file)
    }

    pub(super) fn sync(&self, file: &fs::File) -> io::Result<()> {
        match self.durability {
            crate::config::Durability::Full => file.sync_all(),
            crate::config::Durability::None => Ok(()),
        }
    }

    pub(super) fn is_durable(&self) -> bool {
        self.durability == crate::config::Durability::Full
    }

    /// Waits until renames and removals in a directory are on disk.
    pub(super) fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        match fs::File::open(folder) {
            Ok(folder) => self.sync(&folder),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Recreates directories that were removed.
    pub(super) fn repair(&self, key: &Key) -> io::Result<()> {
        prepare(&self.dir)?;
        match self.metadata_path(key).parent() {
            Some(parent) => create_private(parent),
            None => Ok(()),
        }
    }
}
