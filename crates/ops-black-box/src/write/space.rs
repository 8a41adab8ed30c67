//! Space for a mapped file: the kernel ends a process with SIGBUS if it writes to a page for which there is no space.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::Error;

/// File systems that guarantee no space to a file that already has its size, by their `statfs` numbers.
#[cfg(target_os = "linux")]
const REFUSED: [(u32, &str); 9] = [
    // each change needs new blocks, even in reserved space
    (0x9123_683e, "btrfs"),
    (0xca45_1a4e, "bcachefs"),
    (0x2fc1_2fc1, "ZFS"),
    // the space is on a server, and pages in memory do not prove that it exists
    (0x6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "Ceph"),
    (0x6573_5546, "FUSE"),
];

/// Fails for a file system that guarantees no space.
#[cfg(target_os = "linux")]
pub(super) fn check_kind(path: &Path, file: &File) -> Result<(), Error> {
    let found = rustix::fs::fstatfs(file);
    let found = found
        .map_err(|error| Error::io(path, "determine the type of the file system", error.into()))?;
    // the number has 32 bits, signed or unsigned
    let kind = found.f_type as u32;
    match REFUSED.iter().find(|(refused, _)| *refused == kind) {
        None => Ok(()),
        Some((_, name)) => Err(Error::unsupported(
            path,
            format!(
                "{name} cannot guarantee space for a mapped file, so a full disk would kill the process; use ext4, XFS or tmpfs (/run)"
            ),
        )),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn check_kind(_: &Path, _: &File) -> Result<(), Error> {
    Ok(())
}

/// Fails unless the file has blocks for all of its bytes; for file systems without reservation.
pub(super) fn check_blocks(path: &Path, file: &File) -> Result<(), Error> {
    let found = file.metadata();
    let found = found.map_err(|error| Error::io(path, "read the metadata of the file", error))?;
    if found.blocks().saturating_mul(512) >= found.len() {
        return Ok(());
    }
    Err(Error::unsupported(
        path,
        "the file system did not reserve space for the whole file, so a full disk would kill the process; use ext4, XFS or tmpfs (/run)",
    ))
}
