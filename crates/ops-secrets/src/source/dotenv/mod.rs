//! The `.env` file: found, checked, read again when it changed, kept in private memory.

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

/// A larger `.env` file is refused.
pub const MAX_DOTENV_BYTES: u64 = 1024 * 1024;

/// The file at one path; no parent folder is ever searched.
pub(crate) struct DotEnv {
    /// The path as it is shown.
    path: PathBuf,
    /// The same from the root on.
    place: PathBuf,
    /// Variables that references are replaced from; `None` takes references as text.
    variables: Option<Environment>,
    loaded: Mutex<Option<(Stamp, Loaded)>>,
}

/// Content of the file now, or why there is none.
pub(crate) type Loaded = Result<Arc<Parsed>, Unread>;

/// Reason why a file that is there has no content.
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

    /// Logs that the file is not there: it may be a slip of the pen. It is looked for at each call.
    pub(crate) fn warn_if_missing(&self) {
        if matches!(Stamp::at(&self.place), Err(Refused::NotFound)) {
            let file = self.path.display();
            caught(|| tracing::warn!(target: "ops_secrets", %file, "dotenv_file_missing"));
        }
    }

    /// `None` if there is no such file.
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
                let problem = "it is UTF-16: save it as UTF-8".to_owned();
                (file.stamp, Err(Unread::refused(problem)))
            }
            Ok(file) => {
                let parsed = Parsed::read(&file.bytes, self.variables.as_ref());
                (file.stamp, Ok(Arc::new(parsed)))
            }
            Err(Refused::Problem(problem)) => (stamp, Err(Unread::refused(problem))),
            // not remembered: the next call reads the file again
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

    /// Returns what an operator should change about the file's permissions.
    pub(crate) fn permission_problem(&self) -> Option<&'static str> {
        Stamp::at(&self.place).ok()?.readable_by_others()
    }
}

/// Reports whether a file begins as those do that some editors and shells of Windows write.
fn is_utf_16(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff")
}
