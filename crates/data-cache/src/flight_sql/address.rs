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
        let accepted = "expected flight-sql://HOST:PORT or flight-sql+tls://HOST:PORT, or one of the schemes grpc, grpc+tcp \
                        and grpc+tls";
        let refused = |what: &str| {
            Error::input(format!(
                "address of the Flight SQL server: {what}; {accepted}"
            ))
        };
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| refused("missing scheme"))?;
        let is_tls = SCHEMES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(scheme));
        let Some((_, is_tls)) = is_tls else {
            return Err(refused("unknown scheme"));
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let shown = without_secrets(text);
        if authority.contains('@') {
            // not shown: it contains a password
            return Err(refused(
                "it contains a user; pass credentials with FlightSqlConfig::basic or bearer",
            ));
        }
        if authority.contains(['/', '?', '#']) {
            return Err(refused(&format!(
                "{shown:?} has a path, a query or a fragment"
            )));
        }
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
        let is_port = matches!(port.parse::<u16>(), Ok(1..));
        let parsed = authority.parse::<tonic::codegen::http::uri::Authority>();
        if host.is_empty() || !is_port || parsed.is_err() {
            return Err(refused(&format!("{shown:?} has no valid host and port")));
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
