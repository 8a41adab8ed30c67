use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

/// Hosts to which outgoing requests pass the trace context: in lower case, without port and brackets.
#[derive(Debug)]
pub(crate) struct Hosts(Vec<String>);

impl Hosts {
    pub(crate) const ACCEPTED: &str =
        "a host such as api.internal or 10.0.0.7, or *.internal for all hosts below that domain";

    /// Parses hosts; ports are ignored. The second value has the entries that are not hosts, such as URLs.
    pub(crate) fn parse(hosts: Vec<String>) -> (Self, Vec<String>) {
        let (mut known, mut refused) = (Vec::new(), Vec::new());
        for text in hosts {
            match parse(&text) {
                Some(host) => known.push(host),
                None => refused.push(text),
            }
        }
        (Self(known), refused)
    }

    pub(crate) fn contains(&self, host: &str) -> bool {
        let host = canonical(without_port(host));
        let host = host.as_ref();
        self.0.iter().any(|known| match known.strip_prefix("*.") {
            Some(domain) => is_below(host, domain),
            None => known.eq_ignore_ascii_case(host),
        })
    }
}

fn parse(text: &str) -> Option<String> {
    let text = text.trim();
    let (wildcard, host) = match text.strip_prefix("*.") {
        Some(domain) => ("*.", without_port(domain)),
        None => ("", without_port(text)),
    };
    let is_name = |host: &str| {
        let is_known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        !host.is_empty() && host.bytes().all(is_known)
    };
    let is_host = is_name(host) || wildcard.is_empty() && host.parse::<IpAddr>().is_ok();
    is_host.then(|| format!("{wildcard}{}", canonical(host).to_ascii_lowercase()))
}

/// Returns the host in the form that is compared: an IPv6 address has many spellings, so it is written as in RFC 5952.
fn canonical(host: &str) -> Cow<'_, str> {
    // only IPv6 addresses contain colons, and most hosts are names
    let address = host.contains(':').then(|| host.parse::<Ipv6Addr>());
    match address {
        Some(Ok(address)) => address.to_string().into(),
        _ => host.into(),
    }
}

/// Returns the host without port, without the brackets of an IPv6 address, and without the dot at the end of a name.
fn without_port(host: &str) -> &str {
    if let Some(address) = host.strip_prefix('[') {
        return address.split_once(']').map_or(host, |(address, _)| address);
    }
    let name = match host.split_once(':') {
        // an IPv6 address has more than one colon
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

fn is_below(host: &str, domain: &str) -> bool {
    let Some(start) = host.len().checked_sub(domain.len() + 1) else {
        return false;
    };
    host.is_char_boundary(start + 1)
        && host.as_bytes()[start] == b'.'
        && host[start + 1..].eq_ignore_ascii_case(domain)
}
