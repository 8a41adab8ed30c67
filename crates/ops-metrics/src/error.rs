use std::fmt;

/// Error of [`init`](crate::init) and [`render`](crate::render).
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// [`init`](crate::init) was not called.
    NotInstalled,
    /// [`init`](crate::init) was called before; its first configuration stays active.
    AlreadyInitialized,
    /// Another crate has already installed a recorder for the `metrics` facade.
    RecorderTaken,
    /// A configured limit is invalid; the message names it and what is accepted.
    Limit(String),
    /// No rules can be made of an objective; the message names it and what is accepted.
    #[cfg(feature = "rules")]
    Slo(String),
    /// The thread that feeds the sparklines could not be started.
    Thread(std::io::Error),
}

/// Class of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting is invalid.
    Config,
    /// This process already has metrics, or a recorder of another crate.
    AlreadyInitialized,
    /// Nothing was initialized.
    NotInitialized,
    /// The operating system could not start a thread.
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
                "metrics are already initialized in this process; the first configuration remains in effect",
            ),
            Self::RecorderTaken => f.write_str(
                "cannot install metrics: another recorder of the `metrics` facade is already installed",
            ),
            Self::Limit(why) => write!(f, "invalid metrics configuration: {why}"),
            #[cfg(feature = "rules")]
            Self::Slo(why) => write!(f, "cannot generate rules: {why}"),
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
