use std::io::ErrorKind::{QuotaExceeded, StorageFull};
use std::path::Path;

use super::snapshot::Disk;

/// Returns whether a reason means lack of space: on the disk (28 is ENOSPC), or within a quota (122 is EDQUOT).
pub(super) fn is_full(why: &str) -> bool {
    let codes = ["(os error 28)", "(os error 122)"];
    let kinds = [StorageFull, QuotaExceeded];
    codes.iter().any(|code| why.contains(code))
        || kinds.iter().any(|kind| why.contains(&kind.to_string()))
}

/// Reads the file system of a directory, or of its nearest existing parent. `None` if that is not possible.
pub(crate) fn read(dir: &Path) -> Option<Disk> {
    // the parent of a bare file name is empty
    let dir = if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    };
    let dir = std::path::absolute(dir).ok()?;
    let there = dir.ancestors().find(|dir| dir.exists())?;
    of(there)
}

#[cfg(unix)]
fn of(dir: &Path) -> Option<Disk> {
    let found = rustix::fs::statvfs(dir).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Some(Disk {
        path: dir.display().to_string(),
        total: bytes(found.f_blocks),
        free: bytes(found.f_bavail),
        free_files: (found.f_files > 0).then_some(found.f_favail),
        files: (found.f_files > 0).then_some(found.f_files),
    })
}

#[cfg(not(unix))]
fn of(_: &Path) -> Option<Disk> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_a_file_without_one_and_one_that_is_made_later_are_read() {
        for dir in ["", ".", "nowhere/below"] {
            assert!(read(Path::new(dir)).is_some(), "{dir:?}");
        }
    }
}
