use std::fmt;

/// Error of [`init`](crate::init) and [`render`](crate::render).
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// [`init`](crate::init) was not called.
    NotInstalled,
    /// [`init`](crate::init) was called before; what it configured stays.
    AlreadyInitialized,
    /// Another crate installed a recorder for the `metrics` facade before.
    RecorderTaken,
    /// A limit that was configured makes no sense; the text says which, and what is accepted.
    Limit(String),
    /// An objective cannot be made into rules; the text says which, and what is accepted.
    #[cfg(feature = "rules")]
    Slo(String),
    /// The thread that feeds the sparklines could not be started.
    Thread(std::io::Error),
}

/// Class of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting is refused.
    Config,
    /// This process has metrics, or a recorder of another crate, already.
    AlreadyInitialized,
    /// Nothing was initialized.
    NotInitialized,
    /// The operating system refused a thread.
    Io,
}

impl Error {
    /// Returns the class of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotInstalled => ErrorKind::NotInitialized,
            Self::AlreadyInitialized | Self::RecorderTaken => ErrorKind::AlreadyInitialized,
            Self::Limit(_) => ErrorKind::Config,
            #[cfg(feature = "rules")]
            Self::Slo(_) => ErrorKind::Config,
            Self::Thread(_) => ErrorKind::Io,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInstalled => f.write_str("metrics are not installed: call ops_metrics::init first"),
            Self::AlreadyInitialized => f.write_str(
                "metrics are already initialized in this process; the first configuration stays",
            ),
            Self::RecorderTaken => f.write_str(
                "cannot install metrics: another recorder of the `metrics` facade is installed already",
            ),
            Self::Limit(why) => write!(f, "cannot apply the limits of metrics: {why}"),
            #[cfg(feature = "rules")]
            Self::Slo(why) => write!(f, "cannot make rules of an objective: {why}"),
            Self::Thread(_) => f.write_str("cannot start the thread that feeds the sparklines"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Thread(error) => Some(error),
            _ => None,
        }
    }
}
