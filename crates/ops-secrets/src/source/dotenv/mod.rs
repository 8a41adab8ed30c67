//! The `.env` file: found, checked, read again when it changed, kept in private memory.

mod parse;

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use zeroize::Zeroizing;

pub use parse::Diagnostic;
pub(crate) use parse::Parsed;

use crate::source::env::Environment;

/// A larger `.env` file is refused.
pub const MAX_DOTENV_BYTES: u64 = 1024 * 1024;

/// The file at one path; no parent folder is ever searched.
pub(crate) struct DotEnv {
    path: PathBuf,
    /// What references are replaced from; `None` takes them as text.
    variables: Option<Environment>,
    loaded: Mutex<Option<(Stamp, Loaded)>>,
}

/// What the file says now, or why it is refused.
pub(crate) type Loaded = Result<Arc<Parsed>, String>;

#[derive(Clone, Debug, PartialEq)]
struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
    inode: u64,
    mode: u32,
}

impl DotEnv {
    pub(crate) fn new(path: PathBuf, variables: Option<Environment>) -> Self {
        Self {
            path,
            variables,
            loaded: Mutex::new(None),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// `None` when there is no such file.
    pub(crate) fn load(&self) -> Option<Loaded> {
        let metadata = match fs::metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => return Some(Err(error.to_string())),
        };
        let stamp = Stamp::of(&metadata);
        let mut loaded = self.loaded.lock();
        if let Some((seen, content)) = loaded.as_ref()
            && *seen == stamp
        {
            return Some(content.clone());
        }
        let content = self.read(&metadata).map(Arc::new);
        self.announce(&content, &metadata);
        *loaded = Some((stamp, content.clone()));
        Some(content)
    }

    fn read(&self, metadata: &Metadata) -> Result<Parsed, String> {
        acceptable(metadata)?;
        let file = File::open(&self.path).map_err(|error| error.to_string())?;
        acceptable(&file.metadata().map_err(|error| error.to_string())?)?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(metadata.len() as usize + 1));
        file.take(MAX_DOTENV_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| error.to_string())?;
        if bytes.len() as u64 > MAX_DOTENV_BYTES {
            return Err(too_large());
        }
        Ok(Parsed::read(&bytes, self.variables.as_ref()))
    }

    fn announce(&self, content: &Loaded, metadata: &Metadata) {
        let file = self.path.display();
        match content {
            Err(problem) => {
                tracing::warn!(target: "ops_secrets", %file, %problem, "the .env file is refused")
            }
            Ok(parsed) => {
                for Diagnostic { line, key, problem } in &parsed.diagnostics {
                    tracing::warn!(target: "ops_secrets", %file, line, key, problem, ".env line");
                }
            }
        }
        if let Some(problem) = readable_by_others(metadata) {
            tracing::warn!(target: "ops_secrets", %file, problem, ".env permissions");
        }
    }

    /// What an operator should change about the file's permissions.
    pub(crate) fn permission_problem(&self) -> Option<&'static str> {
        fs::metadata(&self.path)
            .ok()
            .and_then(|metadata| readable_by_others(&metadata))
    }
}

fn acceptable(metadata: &Metadata) -> Result<(), String> {
    if !metadata.is_file() {
        return Err("not a regular file".into());
    }
    if metadata.len() > MAX_DOTENV_BYTES {
        return Err(too_large());
    }
    if mode(metadata) & 0o002 != 0 {
        return Err("writable by everybody: chmod 600".into());
    }
    Ok(())
}

fn too_large() -> String {
    format!("larger than {MAX_DOTENV_BYTES} bytes")
}

fn readable_by_others(metadata: &Metadata) -> Option<&'static str> {
    (mode(metadata) & 0o044 != 0).then_some("readable by other users: chmod 600")
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            modified: metadata.modified().ok(),
            len: metadata.len(),
            inode: inode(metadata),
            mode: mode(metadata),
        }
    }
}

#[cfg(unix)]
fn mode(metadata: &Metadata) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions())
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn mode(_: &Metadata) -> u32 {
    0
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}
