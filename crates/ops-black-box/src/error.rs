use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Reason why a black box cannot be written or read. The file was left unchanged.
#[derive(Debug)]
pub struct Error {
    path: PathBuf,
    cause: Cause,
}

/// Kind of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file is not a black box, or is damaged or forged.
    Foreign,
    /// Another process writes to the file.
    Locked,
    /// The disk has no space for the file.
    NoSpace,
    /// The file system guarantees no space to a mapped file: writing could end the process.
    Unsupported,
    /// Another error of the operating system.
    Io,
}

#[derive(Debug)]
enum Cause {
    Foreign(String),
    Locked,
    Unsupported(String),
    Io(&'static str, io::Error),
}

impl Error {
    pub(crate) fn foreign(path: &Path, reason: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            cause: Cause::Foreign(reason.into()),
        }
    }

    pub(crate) fn locked(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            cause: Cause::Locked,
        }
    }

    pub(crate) fn unsupported(path: &Path, reason: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            cause: Cause::Unsupported(reason.into()),
        }
    }

    pub(crate) fn io(path: &Path, attempt: &'static str, error: io::Error) -> Self {
        Self {
            path: path.to_owned(),
            cause: Cause::Io(attempt, error),
        }
    }

    /// Returns the kind.
    pub fn kind(&self) -> ErrorKind {
        match &self.cause {
            Cause::Foreign(_) => ErrorKind::Foreign,
            Cause::Locked => ErrorKind::Locked,
            Cause::Unsupported(_) => ErrorKind::Unsupported,
            Cause::Io(_, error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                ) =>
            {
                ErrorKind::NoSpace
            }
            Cause::Io(..) => ErrorKind::Io,
        }
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.cause {
            Cause::Foreign(reason) | Cause::Unsupported(reason) => write!(f, "{path}: {reason}"),
            Cause::Locked => write!(f, "{path}: another process writes to this black box"),
            Cause::Io(attempt, _) => write!(f, "{path}: cannot {attempt}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            Cause::Io(_, error) => Some(error),
            Cause::Foreign(_) | Cause::Locked | Cause::Unsupported(_) => None,
        }
    }
}
