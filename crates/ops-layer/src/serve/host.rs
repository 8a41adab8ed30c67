//! Host of a request.

use std::net::Ipv6Addr;

use axum::extract::Request;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Uri, Version, header};

/// Refuses a request with no host, several, or an invalid one, and returns the reason: RFC 9112, section
/// 3.2, and RFC 9113, section 8.3.1. Only HTTP/1.0 may omit the host. In HTTP/1.1 a target in absolute form
/// replaces the header; HTTP/2 has no such rule, and a `:authority` that differs from the header is refused.
///
/// A proxy or cache in between may read the other of two hosts, and store the response under its
/// name. The admin page has the stricter rule of its own crate, which works without this server.
pub(super) fn check(request: &Request) -> Result<(), &'static str> {
    let mut sent = request.headers().get_all(header::HOST).iter();
    let host = sent.next();
    if sent.next().is_some() {
        return Err("more than one Host header");
    }
    if !host.is_none_or(is_host) {
        return Err("invalid Host header: expected a name or an address, with an optional port");
    }
    let authority = request.uri().authority();
    if !authority.is_none_or(|authority| is_valid(authority.as_str())) {
        return Err("invalid host in the request target");
    }
    if let (Some(host), Some(target), Version::HTTP_2) = (host, authority, request.version())
        && !is_same(host, target, request.uri())
    {
        return Err("the request target and the Host header do not match");
    }
    let is_named = match request.version() {
        Version::HTTP_09 | Version::HTTP_10 => true,
        Version::HTTP_11 => host.is_some(),
        // `:authority` replaces the header
        _ => host.is_some() || authority.is_some(),
    };
    is_named.then_some(()).ok_or("missing Host header")
}

fn is_host(value: &HeaderValue) -> bool {
    value.to_str().is_ok_and(is_valid)
}

/// Returns whether header and target name the same host. A missing port is that of the scheme.
fn is_same(host: &HeaderValue, target: &Authority, uri: &Uri) -> bool {
    let usual = match uri.scheme() == Some(&Scheme::HTTPS) {
        true => 443,
        false => 80,
    };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(usual);
    let host = host.to_str().ok().and_then(|host| host.parse().ok());
    host.is_some_and(|host: Authority| {
        host.host().eq_ignore_ascii_case(target.host()) && port(&host) == port(target)
    })
}

/// Returns whether a text is a name or an address, with or without a
/// port. A user, brackets around a name and an invalid port are refused.
fn is_valid(text: &str) -> bool {
    let Ok(authority) = text.parse::<Authority>() else {
        return false;
    };
    let name = authority.host();
    let is_name = match name.strip_prefix('[') {
        Some(rest) => rest
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        None => !name.is_empty() && !name.contains(']'),
    };
    // text before the name is a user
    let port = text.strip_prefix(name);
    is_name
        && port.is_some_and(|port| {
            matches!(port, "" | ":") || authority.port_u16().is_some() && port.starts_with(':')
        })
}
