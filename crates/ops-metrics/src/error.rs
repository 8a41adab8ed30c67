use std::fmt;

/// Error of [`install`](crate::install) and [`render`](crate::render).
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// [`install`](crate::install) was not called.
    NotInstalled,
    /// Another crate installed a recorder for the `metrics` facade before.
    RecorderTaken,
    /// A limit that was configured makes no sense; the text says which, and what is accepted.
    Limit(String),
    /// The thread that feeds the sparklines could not be started.
    Thread(std::io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInstalled => f.write_str("metrics are not installed: call ops_metrics::install first"),
            Self::RecorderTaken => f.write_str(
                "cannot install metrics: another recorder of the `metrics` facade is installed already",
            ),
            Self::Limit(why) => write!(f, "cannot apply the limits of metrics: {why}"),
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
