//! A small file system that a test can fill.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file system mounted over a folder; unmounted on drop.
#[derive(Debug)]
pub struct Mounted(PathBuf);

impl Mounted {
    /// Mounts a file system in memory of this size, such as `256k`; `None` if mounting is not permitted.
    #[must_use]
    pub fn over(folder: &Path, size: &str) -> Option<Self> {
        let options = ["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"];
        Self::with(&options, folder)
    }

    /// Calls `mount` with these arguments; `None` if that fails.
    #[must_use]
    pub fn with<S: AsRef<OsStr>>(options: &[S], folder: &Path) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(options)
            .arg(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then(|| Self(folder.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // lazily: a file may still be open there
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
