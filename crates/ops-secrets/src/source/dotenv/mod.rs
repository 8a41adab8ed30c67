//! The `.env` file: located, checked, read again when it changes, kept in private memory.

mod parse;
mod reference;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

pub use parse::Diagnostic;
pub(crate) use parse::Parsed;

use crate::caught::caught;
use crate::error::ErrorKind;
use crate::source::env::Environment;
use crate::source::trusted_file::{self, Refused, Stamp};

/// Maximum size of a `.env` file; a larger one is refused.
pub const MAX_DOTENV_BYTES: u64 = 1024 * 1024;

/// File at one path; parent folders are never searched.
pub(crate) struct DotEnv {
    /// Path for messages.
    path: PathBuf,
    /// Same path, made absolute.
    place: PathBuf,
    /// Variables for replacing references; `None` takes references as text.
    variables: Option<Environment>,
    loaded: Mutex<Option<(Stamp, Loaded)>>,
}

/// Current content of the file, or the reason why there is none.
pub(crate) type Loaded = Result<Arc<Parsed>, Unread>;

/// Reason why an existing file has no content.
#[derive(Clone)]
pub(crate) struct Unread {
    pub(crate) kind: ErrorKind,
    pub(crate) problem: String,
}

impl Unread {
    fn refused(problem: String) -> Self {
        let kind = ErrorKind::Config;
        Self { kind, problem }
    }

    fn failed(problem: String) -> Self {
        let kind = ErrorKind::Transient;
        Self { kind, problem }
    }
}

impl DotEnv {
    pub(crate) fn new(path: PathBuf, variables: Option<Environment>) -> Self {
        Self {
            place: trusted_file::anchored(&path),
            path,
            variables,
            loaded: Mutex::new(None),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Logs a warning if the file is missing: the path may be mistyped. The file is looked for at each call.
    pub(crate) fn warn_if_missing(&self) {
        if matches!(Stamp::at(&self.place), Err(Refused::NotFound)) {
            let file = self.path.display();
            caught(|| tracing::warn!(target: "ops_secrets", %file, "dotenv_file_missing"));
        }
    }

    /// Returns the content; `None` if there is no such file.
    pub(crate) fn load(&self) -> Option<Loaded> {
        let stamp = match Stamp::at(&self.place) {
            Ok(stamp) => stamp,
            Err(Refused::NotFound) => return None,
            Err(Refused::Problem(problem)) => return Some(Err(Unread::refused(problem))),
            Err(Refused::Failed(why)) => return Some(Err(Unread::failed(why))),
        };
        let mut loaded = self.loaded.lock();
        if let Some((seen, content)) = loaded.as_ref()
            && *seen == stamp
        {
            return Some(content.clone());
        }
        let (stamp, content) = match trusted_file::read(&self.place, MAX_DOTENV_BYTES) {
            Ok(file) if is_utf_16(&file.bytes) => {
                let problem = "the file is UTF-16: save it as UTF-8".to_owned();
                (file.stamp, Err(Unread::refused(problem)))
            }
            Ok(file) => {
                let parsed = Parsed::read(&file.bytes, self.variables.as_ref());
                (file.stamp, Ok(Arc::new(parsed)))
            }
            Err(Refused::Problem(problem)) => (stamp, Err(Unread::refused(problem))),
            // not cached: the next call reads the file again
            Err(Refused::Failed(why)) => return Some(Err(Unread::failed(why))),
            Err(Refused::NotFound) => return None,
        };
        *loaded = Some((stamp.clone(), content.clone()));
        drop(loaded);
        caught(|| self.report(&content, &stamp));
        Some(content)
    }

    fn report(&self, content: &Loaded, stamp: &Stamp) {
        let file = self.path.display();
        match content {
            Err(Unread { problem, .. }) => {
                tracing::warn!(target: "ops_secrets", %file, %problem, "dotenv_file_refused")
            }
            Ok(parsed) => {
                for Diagnostic { line, key, problem } in &parsed.diagnostics {
                    tracing::warn!(target: "ops_secrets", %file, line, key, problem, "dotenv_line_problem");
                }
            }
        }
        if let Some(problem) = stamp.readable_by_others() {
            tracing::warn!(target: "ops_secrets", %file, problem, "dotenv_permissions");
        }
    }

    /// Returns the change that the file's permissions need.
    pub(crate) fn permission_problem(&self) -> Option<&'static str> {
        Stamp::at(&self.place).ok()?.readable_by_others()
    }
}

/// Returns whether a file starts with a UTF-16 byte order mark, as some Windows editors and shells write it.
fn is_utf_16(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff")
}
