//! Protection against pages from elsewhere: no foreign host name
//! (DNS rebinding), no change without the header `x-ops-admin`.

use std::net::{IpAddr, Ipv6Addr};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::uri::{Authority, Scheme};
use http::{StatusCode, Uri, Version, header};

use crate::Admin;

/// Refuses a request that does not name exactly one host, and one for a foreign host unless a token is required.
pub(crate) async fn check_host(
    State(admin): State<Admin>,
    request: Request,
    next: Next,
) -> Response {
    let host = match host(&request) {
        Ok(host) => host,
        Err(why) => return (StatusCode::BAD_REQUEST, why).into_response(),
    };
    let is_known = |host: Authority| is_known_name(host.host(), admin.hosts());
    if is_of_another_page(&request) {
        let why = "cross-origin requests are rejected\n";
        return (StatusCode::FORBIDDEN, why).into_response();
    }
    if admin.token_check().is_none() && !host.is_some_and(is_known) {
        let why = "host name not allowed without a token; use a loopback address\n";
        return (StatusCode::FORBIDDEN, why).into_response();
    }
    next.run(request).await
}

/// Returns whether the request comes from a script, an image or a frame of another page: it could not
/// read the response, but would occupy one of the streams. Links are followed, whatever page they are on.
fn is_of_another_page(request: &Request) -> bool {
    let is = |name: &str, wanted: &[&[u8]]| {
        let value = request.headers().get(name);
        value.is_some_and(|value| wanted.contains(&value.as_bytes()))
    };
    is("sec-fetch-site", &[b"cross-site", b"same-site"]) && !is("sec-fetch-dest", &[b"document"])
}

/// Refuses a change without the header `x-ops-admin`, which a page from elsewhere cannot send.
pub(crate) async fn check_change(request: Request, next: Next) -> Response {
    if !request.method().is_safe() && !request.headers().contains_key("x-ops-admin") {
        let why = "changes require the header x-ops-admin: 1\n";
        return (StatusCode::FORBIDDEN, why).into_response();
    }
    next.run(request).await
}

/// Returns the one host of the request, by RFC 9112, section
/// 3.2, and RFC 9113, section 8.3.1. Only HTTP/1.0 may omit it.
///
/// RFC 9112 allows a server to ignore `Host` if the target is in absolute form. Here both have
/// to agree: no honest client sends two hosts, and an intermediary may read the other one.
fn host(request: &Request) -> Result<Option<Authority>, &'static str> {
    let invalid = "invalid Host header: expected a name or an address, with an optional port\n";
    let mut sent = request.headers().get_all(header::HOST).iter();
    let host = match sent.next() {
        Some(host) => Some(host.to_str().ok().and_then(one_host).ok_or(invalid)?),
        None => None,
    };
    if sent.next().is_some() {
        return Err("more than one Host header\n");
    }
    let target = match request.uri().authority() {
        Some(target) => {
            Some(one_host(target.as_str()).ok_or("invalid host in the request target\n")?)
        }
        None => None,
    };
    match (host, target) {
        (Some(host), Some(target)) if !is_same(&host, &target, request.uri()) => {
            Err("the request target and the Host header do not match\n")
        }
        // `:authority` replaces the header
        (None, Some(target)) if request.version() >= Version::HTTP_2 => Ok(Some(target)),
        (None, _) if request.version() >= Version::HTTP_11 => Err("missing Host header\n"),
        (host, _) => Ok(host),
    }
}

/// Parses a host with or without a port. A user, brackets around a name and an invalid port are refused.
fn one_host(text: &str) -> Option<Authority> {
    let authority: Authority = text.parse().ok()?;
    let name = authority.host();
    let bracketed = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    let is_name = match bracketed {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !name.is_empty() && !name.contains(['[', ']']),
    };
    // text before the name is a user
    let is_port = match text.strip_prefix(name)?.strip_prefix(':') {
        Some(digits) => digits.is_empty() || authority.port_u16().is_some(),
        None => text.len() == name.len(),
    };
    (is_name && is_port).then_some(authority)
}

/// Returns whether header and target name the same host. A missing port is that of the scheme.
fn is_same(host: &Authority, target: &Authority, uri: &Uri) -> bool {
    let usual = if uri.scheme() == Some(&Scheme::HTTPS) {
        443
    } else {
        80
    };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(usual);
    host.host().eq_ignore_ascii_case(target.host()) && port(host) == port(target)
}

fn is_known_name(name: &str, allowed: &[String]) -> bool {
    let name = name.trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.to_canonical().is_loopback())
        || allowed.iter().any(|known| known.eq_ignore_ascii_case(name))
}
