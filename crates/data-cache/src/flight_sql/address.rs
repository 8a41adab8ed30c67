//! The address of a server.

use crate::config::without_secrets;
use crate::error::Error;

/// Accepted schemes; `true` for TLS.
const SCHEMES: &[(&str, bool)] = &[
    ("flight-sql", false),
    ("flight-sql+tls", true),
    ("grpc", false),
    ("grpc+tcp", false),
    ("grpc+tls", true),
];

/// Host and port of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) authority: String,
    pub(super) is_tls: bool,
}

impl Address {
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let accepted = "accepted are flight-sql://HOST:PORT, flight-sql+tls://HOST:PORT, and grpc, grpc+tcp or grpc+tls \
                        in place of it";
        let refused = |what: &str| {
            Error::input(format!(
                "address of a Flight SQL server: {what}; {accepted}"
            ))
        };
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| refused("it has no scheme"))?;
        let is_tls = SCHEMES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(scheme));
        let Some((_, is_tls)) = is_tls else {
            return Err(refused("its scheme is another one"));
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let shown = without_secrets(text);
        if authority.contains('@') {
            // not shown: it contains a password
            return Err(refused(
                "it names a user; credentials come from FlightSqlConfig::basic or bearer",
            ));
        }
        if authority.contains(['/', '?', '#']) {
            return Err(refused(&format!("{shown:?} has a path or a query")));
        }
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
        let is_port = matches!(port.parse::<u16>(), Ok(1..));
        let parsed = authority.parse::<tonic::codegen::http::uri::Authority>();
        if host.is_empty() || !is_port || parsed.is_err() {
            return Err(refused(&format!("{shown:?} has no host with a port")));
        }
        Ok(Self {
            authority: authority.to_ascii_lowercase(),
            is_tls: *is_tls,
        })
    }

    /// Returns the address as an HTTP URI.
    pub(super) fn uri(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.authority)
    }

    /// Returns `true` if a location named by the server is this address, or the current connection.
    pub(super) fn is_here(&self, location: &str) -> bool {
        location.is_empty()
            || location.starts_with("arrow-flight-reuse-connection:")
            || Self::parse(location).is_ok_and(|other| other == *self)
    }
}
