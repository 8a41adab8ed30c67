use std::fmt;

/// Error of setting up tracing. A retry does not help: the configuration has to change.
#[non_exhaustive]
pub enum Error {
    /// The endpoint is not a URL that spans can be sent to.
    InvalidEndpoint {
        /// Variable that contains the endpoint; `None` if the program passed it.
        variable: Option<&'static str>,
        /// The endpoint, without user, password and query.
        endpoint: String,
        /// Description of the error and of the accepted form.
        hint: &'static str,
    },
    /// Neither the configuration nor `OTEL_SERVICE_NAME` contains a service name.
    EmptyServiceName,
    /// The sampling ratio is not a number from 0 to 1.
    InvalidRatio {
        /// The ratio that was given.
        ratio: f64,
    },
    /// Not a valid address or CIDR network.
    InvalidNetwork {
        /// The text that was given.
        network: String,
    },
    /// A tracer is already installed in this process; it stays active.
    AlreadyInitialized,
    /// The exporter could not be built.
    Exporter {
        /// Error of the exporter.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Class of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting is invalid.
    Config,
    /// This process already has a tracer.
    AlreadyInitialized,
    /// The exporter could not be built, for example because of the certificates.
    Exporter,
}

impl Error {
    /// Returns the class of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::AlreadyInitialized => ErrorKind::AlreadyInitialized,
            Self::Exporter { .. } => ErrorKind::Exporter,
            Self::InvalidEndpoint { .. }
            | Self::EmptyServiceName
            | Self::InvalidRatio { .. }
            | Self::InvalidNetwork { .. } => ErrorKind::Config,
        }
    }

    /// Adds the name of the variable that contains an invalid endpoint.
    pub(crate) fn with_variable(mut self, name: &'static str) -> Self {
        if let Self::InvalidEndpoint { variable, .. } = &mut self {
            *variable = Some(name);
        }
        self
    }
}

/// Writes the message and its causes, each once, so that a `main` that returns this error ends with a readable line.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)?;
        let source = std::error::Error::source(self);
        let mut causes = std::iter::successors(source, |cause| cause.source());
        causes.try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidEndpoint {
                variable,
                endpoint,
                hint,
            } => {
                let said_by = variable.map_or(String::new(), |name| format!("{name}: "));
                write!(f, "{said_by}invalid endpoint `{endpoint}`: {hint}")
            }
            Self::EmptyServiceName => f.write_str(
                "the service name is empty: pass one to Config::new or set OTEL_SERVICE_NAME",
            ),
            Self::InvalidRatio { ratio } => {
                write!(f, "sampling ratio {ratio} is not a number from 0 to 1")
            }
            Self::InvalidNetwork { network } => write!(
                f,
                "invalid trusted network `{network}`: expected an address or a network such as 10.0.0.0/8"
            ),
            Self::AlreadyInitialized => {
                f.write_str("a tracer is already installed in this process; it remains active")
            }
            Self::Exporter { .. } => f.write_str("cannot build the span exporter"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Exporter { source } => Some(source.as_ref()),
            _ => None,
        }
    }
}
