use std::net::SocketAddrV6;

use crate::Error;

pub(crate) const DEFAULT: &str = "http://localhost:4318";
/// Path of traces. Endpoints of traces are accepted for other signals too; their path replaces it.
const TRACES_PATH: &str = "/v1/traces";
const ACCEPTED: &str =
    "expected http://host:4318 or https://host/path, without user, password, query or fragment";

/// Returns the URL that a signal is posted to: the endpoint with
/// the path of the signal appended, unless it is there already.
pub(crate) fn with_path(endpoint: &str, path: &str) -> Result<String, Error> {
    let base = checked(endpoint)?.trim_end_matches('/');
    let base = base.strip_suffix(TRACES_PATH).unwrap_or(base);
    let base = base.strip_suffix(path).unwrap_or(base);
    Ok(format!("{base}{path}"))
}

/// Returns the URL that a signal is posted to, unchanged.
pub(crate) fn unchanged(endpoint: &str) -> Result<String, Error> {
    checked(endpoint).map(str::to_owned)
}

/// Returns true for the port on which collectors expect gRPC.
pub(crate) fn is_grpc_port(url: &str) -> bool {
    let uri = url.parse::<http::Uri>();
    uri.is_ok_and(|uri| uri.port_u16() == Some(4317))
}

fn checked(endpoint: &str) -> Result<&str, Error> {
    let endpoint = endpoint.trim();
    let invalid = |hint| Error::InvalidEndpoint {
        variable: None,
        endpoint: without_secrets(endpoint),
        hint,
    };
    if !endpoint.contains("://") {
        return Err(invalid(
            "missing scheme; use http://localhost:4318 instead of localhost:4318",
        ));
    }
    if !endpoint.is_ascii() {
        return Err(invalid(ACCEPTED)); // the parser accepts any bytes in a path
    }
    let uri: http::Uri = endpoint.parse().map_err(|_| invalid(ACCEPTED))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") if cfg!(feature = "tls") => {}
        Some("https") => {
            return Err(invalid(
                "https requires the feature `tls` of ops-trace or ops-layer",
            ));
        }
        _ => return Err(invalid(ACCEPTED)),
    }
    let authority = uri.authority().map_or("", |a| a.as_str());
    let host = uri.host().unwrap_or("");
    // as the resolver reads it: with the number of an interface at most
    if host.starts_with('[') && format!("{host}:0").parse::<SocketAddrV6>().is_err() {
        return Err(invalid(
            "expected an IPv6 address in brackets, such as http://[::1]:4318; a zone has to be a number",
        ));
    }
    // the parser does not check the port: an invalid one, such as 99999, has to be detected here
    let port = authority.strip_prefix(host).unwrap_or(authority);
    let bad_port = !port.is_empty() && uri.port_u16().is_none_or(|port| port == 0);
    // the parser drops a fragment, after which the path would be appended
    let has_more = uri.query().is_some() || endpoint.contains('#');
    if host.is_empty() || bad_port || authority.contains('@') || has_more {
        return Err(invalid(ACCEPTED));
    }
    Ok(endpoint)
}

/// Removes user, password and query, which may contain a token.
pub(crate) fn without_secrets(endpoint: &str) -> String {
    let (before, hidden) = match endpoint.find(['?', '#']) {
        Some(at) => (&endpoint[..at], "?***"),
        None => (endpoint, ""),
    };
    // a password may contain a `?` or `#`
    if endpoint[before.len()..].contains('@') {
        let scheme = endpoint.find("://").map_or("", |at| &endpoint[..at + 3]);
        return format!("{scheme}***");
    }
    without_userinfo(before) + hidden
}

fn without_userinfo(endpoint: &str) -> String {
    match (endpoint.split_once("://"), endpoint.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://***@{host}"),
        (None, Some((_, host))) => format!("***@{host}"),
        _ => endpoint.to_owned(),
    }
}
