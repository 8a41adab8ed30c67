//! A small file system that a test can fill.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file system, mounted over a folder until this is dropped.
#[derive(Debug)]
pub struct Mounted(PathBuf);

impl Mounted {
    /// Mounts one in memory of this size, such as `256k`; `None` where we may not mount one.
    #[must_use]
    pub fn over(folder: &Path, size: &str) -> Option<Self> {
        let options = ["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"];
        Self::with(&options, folder)
    }

    /// Mounts what these arguments of `mount` say; `None` where that may not be.
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
        // lazily: something may still be open there
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
