use std::io;
use std::net::SocketAddr;

/// Reasons why a server does not start.
#[derive(Debug)]
pub(crate) enum Failure {
    Variable {
        name: &'static str,
        value: String,
        accepts: &'static str,
    },
    Bind {
        name: &'static str,
        address: SocketAddr,
        cause: io::Error,
    },
    Passed(io::Error),
    Signals(io::Error),
    #[cfg(feature = "grpc")]
    ServedTwice(&'static str),
    #[cfg(feature = "admin")]
    Thread(io::Error),
    #[cfg(feature = "admin")]
    TokenMissing(SocketAddr),
    #[cfg(feature = "admin")]
    TokenFile {
        path: std::path::PathBuf,
        cause: io::Error,
    },
    #[cfg(feature = "admin")]
    TokenTooShort {
        /// File with the token; `None` if the token comes from the variable.
        path: Option<std::path::PathBuf>,
    },
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Variable {
                name,
                value,
                accepts,
            } => write!(f, "{name}: invalid value {value:?}, expected {accepts}"),
            Self::Bind {
                name,
                address,
                cause,
            } => {
                write!(f, "{name}: cannot listen on {address}")?;
                match cause.kind() {
                    io::ErrorKind::AddrInUse => f.write_str(" (port 0 selects a free port)"),
                    io::ErrorKind::AddrNotAvailable => {
                        f.write_str(" (not an address of this machine)")
                    }
                    _ => Ok(()),
                }
            }
            Self::Passed(_) => f.write_str("LISTEN_FDS: cannot use a passed socket"),
            Self::Signals(_) => f.write_str("cannot register signal handlers"),
            #[cfg(feature = "grpc")]
            Self::ServedTwice(name) => write!(
                f,
                "the gRPC service {name} is already served: it was added twice, or the router has a route with its path"
            ),
            #[cfg(feature = "admin")]
            Self::Thread(_) => f.write_str("cannot start the thread of the admin page"),
            #[cfg(feature = "admin")]
            Self::TokenMissing(address) => write!(
                f,
                "OPS_ADMIN_ADDR: {address} is reachable from other machines: set OPS_ADMIN_TOKEN or OPS_ADMIN_TOKEN_FILE, \
                 or use a loopback address"
            ),
            #[cfg(feature = "admin")]
            Self::TokenFile { path, .. } => {
                write!(f, "OPS_ADMIN_TOKEN_FILE: cannot read {}", path.display())
            }
            #[cfg(feature = "admin")]
            Self::TokenTooShort { path } => {
                match path {
                    Some(path) => write!(f, "OPS_ADMIN_TOKEN_FILE: {}", path.display())?,
                    None => f.write_str("OPS_ADMIN_TOKEN")?,
                }
                f.write_str(": must have at least 16 characters, all of them printable ASCII without spaces")
            }
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bind { cause, .. } | Self::Passed(cause) | Self::Signals(cause) => Some(cause),
            #[cfg(feature = "admin")]
            Self::Thread(cause) | Self::TokenFile { cause, .. } => Some(cause),
            _ => None,
        }
    }
}
