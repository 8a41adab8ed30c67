//! Opening of files whose path may have been replaced by a link, a device, or a pipe without a writer.

use std::fs::File;
use std::io;
use std::path::Path;

/// Opens a regular file for reading and returns its length; `None` for anything else. Links are not followed.
#[cfg(unix)]
pub(crate) fn open_regular(path: &Path) -> io::Result<Option<(File, u64)>> {
    use rustix::fs::{Mode, OFlags, open};
    use rustix::io::{Errno, retry_on_intr};

    // without NONBLOCK, opening a pipe waits for its other end
    let careful = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    match retry_on_intr(|| open(path, OFlags::RDONLY | careful, Mode::empty())) {
        Ok(file) => regular(File::from(file)),
        // a link (MLINK on FreeBSD), a socket, a device without a driver
        Err(Errno::LOOP | Errno::MLINK | Errno::NXIO | Errno::NODEV) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(unix))]
pub(crate) fn open_regular(path: &Path) -> io::Result<Option<(File, u64)>> {
    match std::fs::symlink_metadata(path)?.is_file() {
        true => regular(File::open(path)?),
        false => Ok(None),
    }
}

/// Opens a regular file for reading and writing; a missing file is
/// created with access for its owner only. Links are not followed.
#[cfg(unix)]
pub(super) fn open_shared(path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags, open};
    use rustix::io::retry_on_intr;

    let careful = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let flags = OFlags::RDWR | OFlags::CREATE | careful;
    let file = retry_on_intr(|| open(path, flags, Mode::RUSR | Mode::WUSR))?;
    refuse_irregular(regular(File::from(file))?)
}

#[cfg(not(unix))]
pub(super) fn open_shared(path: &Path) -> io::Result<File> {
    if std::fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
        return refuse_irregular(None);
    }
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path)
}

fn refuse_irregular(found: Option<(File, u64)>) -> io::Result<File> {
    let irregular = || io::Error::other("not a regular file");
    found.map(|(file, _)| file).ok_or_else(irregular)
}

fn regular(file: File) -> io::Result<Option<(File, u64)>> {
    let found = file.metadata()?;
    Ok(found.is_file().then_some((file, found.len())))
}

/// Fills the remaining capacity of the buffer, or reads to the end of the file.
#[cfg(unix)]
pub(super) fn fill(buffer: &mut Vec<u8>, file: &File) -> io::Result<()> {
    use rustix::buffer::spare_capacity;
    use rustix::io::{Errno, read};

    // std reads bounded input in pieces, the first of 8 KiB
    while buffer.len() < buffer.capacity() {
        match read(file, spare_capacity(buffer)) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(not(unix))]
pub(super) fn fill(buffer: &mut Vec<u8>, file: &File) -> io::Result<()> {
    use std::io::Read;

    let left = buffer.capacity() - buffer.len();
    file.take(left as u64).read_to_end(buffer).map(drop)
}

/// Returns true if the file still has this name.
#[cfg(unix)]
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    let identity = |found: std::fs::Metadata| (found.dev(), found.ino());
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(file), Ok(named)) => identity(file) == identity(named),
        _ => false,
    }
}

#[cfg(not(unix))]
pub(super) fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}
