//! `HTTPS_PROXY` and `NO_PROXY`.

use std::net::IpAddr;

use ureq::ProxyProtocol::{Http, Https};

use crate::config::endpoint::without_secrets;
use crate::config::environment::{Environment, Warning, is_text, warn};
use crate::network::Network;

/// Reads the proxy for this URL.
pub(crate) fn proxy(
    env: &Environment,
    uri: &http::Uri,
    warnings: &mut Vec<Warning>,
) -> Option<ureq::Proxy> {
    // lower case first, like curl
    let (variable, value) = env.first(&["https_proxy", "HTTPS_PROXY"])?;
    let mut exceptions = ["no_proxy", "NO_PROXY"].into_iter();
    let exceptions = exceptions.find_map(|name| env.text(name, warnings));
    let exceptions = exceptions.unwrap_or_default();
    let host = uri.host().unwrap_or_default();
    if is_excepted(host, uri.port_u16().unwrap_or(443), &exceptions) {
        return None;
    }
    let proxy = ureq::Proxy::new(&value).ok();
    let proxy = proxy.filter(|proxy| is_text(&value) && is_usable(proxy));
    if proxy.is_none() {
        warn(
            warnings,
            variable,
            without_secrets(&value),
            "http://host:port or https://host:port, optionally with user:password@ before the host",
            "no proxy",
        );
    }
    proxy
}

/// Reports whether a proxy can be used: the library accepts proxies
/// without a host, with an invalid port, or of an unsupported protocol.
fn is_usable(proxy: &ureq::Proxy) -> bool {
    let uri = proxy.uri();
    let host = uri.host().unwrap_or_default();
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let address = authority
        .rsplit_once('@')
        .map_or(authority, |(_, address)| address);
    let port = address.strip_prefix(host).unwrap_or(address);
    let is_port = |text: &str| text.parse::<u16>().is_ok_and(|port| port > 0);
    matches!(proxy.protocol(), Http | Https)
        && !host.is_empty()
        && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

/// Reports whether an exception matches. Entries are hosts, which include all hosts below them, addresses, networks or
/// `*`; each but `*` may have a port that restricts it.
fn is_excepted(host: &str, port: u16, exceptions: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    let mut entries = exceptions.split([',', ' ']).map(str::trim);
    entries.any(|entry| entry == "*" || !entry.is_empty() && excepts(entry, host, port))
}

fn excepts(entry: &str, host: &str, port: u16) -> bool {
    let address = host.parse::<IpAddr>().ok();
    if let (Some(address), Ok(network)) = (address, entry.parse::<Network>()) {
        return network.contains(address);
    }
    let (name, only) = match entry.rsplit_once(':') {
        Some((name, digits)) if !name.ends_with(':') => (name, digits.parse::<u16>().ok()),
        _ => (entry, None),
    };
    if only.is_some_and(|only| only != port) {
        return false;
    }
    let name = name.trim_matches(['[', ']']);
    let name = name.strip_prefix('*').unwrap_or(name);
    let name = name.strip_prefix('.').unwrap_or(name);
    let Some(start) = host.len().checked_sub(name.len()) else {
        return false;
    };
    !name.is_empty()
        && host.is_char_boundary(start)
        && host[start..].eq_ignore_ascii_case(name)
        && (start == 0 || host.as_bytes()[start - 1] == b'.')
}
