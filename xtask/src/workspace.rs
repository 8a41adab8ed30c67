//! Paths of the workspace.

use crate::{Result, command};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Returns the checkout in which `cargo xtask` was called, else the one this program was built from: checkouts with a
/// common target directory share the program too.
pub(crate) fn root() -> PathBuf {
    let called_in = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let manifest = called_in.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    manifest.parent().unwrap_or(&manifest).to_path_buf()
}

/// Returns cargo's target directory: `CARGO_TARGET_DIR`, or `target` in the checkout.
pub(crate) fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) if !dir.is_empty() => root().join(dir),
        _ => root().join("target"),
    }
}

/// Returns the folder of fetched tools, shared by all checkouts with the same target directory.
pub(crate) fn tools_dir() -> PathBuf {
    target_dir().join("tools")
}

/// Links `.tools` in the checkout to the tools folder; `[env]` in `.cargo/config.toml` relies on it.
pub(crate) fn link_tools() -> Result<()> {
    let (link, tools) = (root().join(".tools"), tools_dir());
    if std::fs::read_link(&link).is_ok_and(|to| to == tools) {
        return Ok(());
    }
    // created under another name and renamed, so that the link always exists
    let fresh = root().join(format!(".tools.{}", std::process::id()));
    std::os::unix::fs::symlink(&tools, &fresh)
        .and_then(|()| std::fs::rename(&fresh, &link))
        .map_err(|e| format!("cannot link {} to {}: {e}", link.display(), tools.display()))
}

/// Returns all files below a folder, sorted, relative to it.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let failed = |e: std::io::Error| format!("cannot list {}: {e}", next.display());
        for entry in std::fs::read_dir(&next).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(file) = path.strip_prefix(folder) {
                files.push(file.to_owned());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Returns the files that git tracks or would add, relative to the checkout.
pub(crate) fn tracked_files() -> Result<Vec<PathBuf>> {
    let output = command::output(command::program("git").args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    if !output.status.success() {
        return Err(format!(
            "git ls-files: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ));
    }
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(names
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        .collect())
}

/// A temporary folder owned by this value; removed on drop.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(purpose: &str) -> Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        // two platforms of one command need separate directories
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let dir = target_dir()
            .join("xtask")
            .join(format!("{purpose}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir)
            .map_err(|e| format!("cannot create {}: {e}", dir.display()))?;
        Ok(Self(dir))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // leftovers remain in the target directory, where `cargo clean` removes them
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_folders_for_one_purpose_are_two() {
        let (one, other) = (Scratch::new("test-two"), Scratch::new("test-two"));
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_ne!(one.path(), other.path());
        let kept = other.path().to_owned();
        drop(one);
        assert!(kept.is_dir());
    }
}
