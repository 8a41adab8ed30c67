use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;

/// Failure to write or read a history.
#[derive(Debug)]
pub struct Error {
    path: PathBuf,
    cause: Cause,
}

/// Kind of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A file is not a history file, is damaged or forged, or has another version.
    Unreadable,
    /// Another process writes to the directory.
    Locked,
    /// The file system or the quota is full.
    NoSpace,
    /// A statement was rejected or failed.
    Statement,
    /// A statement or a bucket operation timed out.
    TimedOut,
    /// A bucket is unreachable, rejected a request, has no history, or exceeds a limit.
    Bucket,
    /// Another failure of the operating system.
    Io,
}

#[derive(Debug)]
enum Cause {
    Unreadable(String),
    Locked,
    #[cfg(feature = "sql")]
    Statement(String),
    #[cfg(feature = "sql")]
    TimedOut(std::time::Duration),
    #[cfg(feature = "s3")]
    Bucket(String),
    #[cfg(feature = "s3")]
    BucketTimedOut(std::time::Duration),
    Io(&'static str, io::Error),
}

impl Error {
    pub(crate) fn unreadable(path: &Path, reason: impl Into<String>) -> Self {
        Self::new(path, Cause::Unreadable(reason.into()))
    }

    pub(crate) fn locked(path: &Path) -> Self {
        Self::new(path, Cause::Locked)
    }

    #[cfg(feature = "sql")]
    pub(crate) fn statement(reason: impl Into<String>) -> Self {
        Self::new(Path::new(""), Cause::Statement(reason.into()))
    }

    #[cfg(feature = "sql")]
    pub(crate) fn timed_out(limit: std::time::Duration) -> Self {
        Self::new(Path::new(""), Cause::TimedOut(limit))
    }

    #[cfg(feature = "s3")]
    pub(crate) fn bucket(url: &str, reason: impl Into<String>) -> Self {
        Self::new(Path::new(url), Cause::Bucket(reason.into()))
    }

    #[cfg(feature = "s3")]
    pub(crate) fn bucket_timed_out(url: &str, limit: std::time::Duration) -> Self {
        Self::new(Path::new(url), Cause::BucketTimedOut(limit))
    }

    pub(crate) fn io(path: &Path, attempt: &'static str, error: io::Error) -> Self {
        Self::new(path, Cause::Io(attempt, error))
    }

    /// Converts an error of the Parquet writer; an I/O error inside it keeps its kind.
    pub(crate) fn parquet(path: &Path, attempt: &'static str, error: ParquetError) -> Self {
        match error {
            ParquetError::External(cause) => match cause.downcast::<io::Error>() {
                Ok(error) => Self::io(path, attempt, *error),
                Err(cause) => Self::unreadable(path, cause.to_string()),
            },
            error => Self::unreadable(path, error.to_string()),
        }
    }

    fn new(path: &Path, cause: Cause) -> Self {
        Self {
            path: path.to_owned(),
            cause,
        }
    }

    /// Returns the kind.
    pub fn kind(&self) -> ErrorKind {
        match &self.cause {
            Cause::Unreadable(_) => ErrorKind::Unreadable,
            Cause::Locked => ErrorKind::Locked,
            #[cfg(feature = "sql")]
            Cause::Statement(_) => ErrorKind::Statement,
            #[cfg(feature = "sql")]
            Cause::TimedOut(_) => ErrorKind::TimedOut,
            #[cfg(feature = "s3")]
            Cause::Bucket(_) => ErrorKind::Bucket,
            #[cfg(feature = "s3")]
            Cause::BucketTimedOut(_) => ErrorKind::TimedOut,
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

    /// Returns the file, directory or URL concerned; empty for a statement.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.cause {
            Cause::Unreadable(reason) => write!(f, "{path}: {reason}"),
            Cause::Locked => write!(f, "{path}: another process writes to this history"),
            #[cfg(feature = "sql")]
            Cause::Statement(reason) => f.write_str(reason),
            #[cfg(feature = "sql")]
            Cause::TimedOut(limit) => write!(f, "the statement timed out after {limit:?}"),
            #[cfg(feature = "s3")]
            Cause::Bucket(reason) => write!(f, "{path}: {reason}"),
            #[cfg(feature = "s3")]
            Cause::BucketTimedOut(limit) => write!(f, "{path}: timed out after {limit:?}"),
            Cause::Io(attempt, _) => write!(f, "{path}: cannot {attempt}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            Cause::Io(_, error) => Some(error),
            _ => None,
        }
    }
}

/// Returns the message of an error and those of its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    // limited: an error may be its own cause
    causes
        .take(100)
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
