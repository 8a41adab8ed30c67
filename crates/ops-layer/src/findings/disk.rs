use std::path::Path;

use super::snapshot::Disk;

/// Reads the file system below a directory, or below the nearest one that is there. `None` if it does not tell.
pub(crate) fn read(dir: &Path) -> Option<Disk> {
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
    })
}

#[cfg(not(unix))]
fn of(_: &Path) -> Option<Disk> {
    None
}
