//! The request as the client sent it, from headers that proxies in front of this service added.

use std::net::{IpAddr, SocketAddr};

use ::http::header::{FORWARDED, HeaderMap, HeaderName};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// Maximum bytes of one of these headers, all its lines together; a longer one is ignored.
const MAX_BYTES: usize = 4096;

/// Values from trusted proxies; those of the outermost trusted proxy win.
#[derive(Debug, Default)]
pub(super) struct Forwarded {
    pub(super) client: Option<IpAddr>,
    pub(super) scheme: Option<&'static str>,
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
}

impl Forwarded {
    /// Reads the headers of a request whose peer is trusted, which the caller has checked.
    ///
    /// Each proxy appends the address that it was called from. The addresses are read from the end, up to the first
    /// untrusted one: entries that a client made up come before it in the list, and are not read. `Forwarded` (RFC
    /// 7239) precedes the `X-Forwarded` headers; a malformed one is ignored.
    pub(super) fn read(headers: &HeaderMap, trusts: impl Fn(IpAddr) -> bool) -> Self {
        if !headers.keys().any(is_forwarding) {
            return Self::default();
        }
        let standard = Self::standard(headers, &trusts).unwrap_or_default();
        let usual = Self::usual(headers, &trusts);
        Self {
            client: standard.client.or(usual.client),
            scheme: standard.scheme.or(usual.scheme),
            // a port belongs to the host of the same header
            port: if standard.host.is_some() {
                None
            } else {
                usual.port
            },
            host: standard.host.or(usual.host),
        }
    }

    fn standard(headers: &HeaderMap, trusts: &impl Fn(IpAddr) -> bool) -> Option<Self> {
        let elements = elements(&joined(headers, &FORWARDED)?)?;
        let clients: Vec<_> = elements.iter().map(|element| element.client).collect();
        let first = elements.len().checked_sub(trusted_hops(&clients, trusts))?;
        let trusted = elements.get(first..)?;
        Some(Self {
            client: trusted.first()?.client,
            scheme: trusted.iter().find_map(|element| element.scheme),
            host: trusted.iter().find_map(|element| element.host.clone()),
            port: None,
        })
    }

    fn usual(headers: &HeaderMap, trusts: &impl Fn(IpAddr) -> bool) -> Self {
        let list = |name| joined(headers, &name).unwrap_or_default();
        let clients = list(X_FORWARDED_FOR);
        let clients: Vec<_> = entries(&clients).map(node).collect();
        let hops = trusted_hops(&clients, trusts);
        // as many entries from the end as there are trusted hops; if there are fewer entries, the first one
        let entry = |name| {
            let list = list(name);
            let entries: Vec<_> = entries(&list).collect();
            let entry = entries.get(entries.len().saturating_sub(hops));
            entry.map(|entry| (*entry).to_owned())
        };
        Self {
            client: clients
                .get(clients.len().saturating_sub(hops))
                .copied()
                .flatten(),
            scheme: entry(X_FORWARDED_PROTO).and_then(|text| scheme(&text)),
            host: entry(X_FORWARDED_HOST),
            port: entry(X_FORWARDED_PORT).and_then(|text| text.parse().ok()),
        }
    }
}

fn is_forwarding(name: &HeaderName) -> bool {
    let name = name.as_str();
    name == "forwarded" || name.starts_with("x-forwarded-")
}

/// Returns the number of entries, from the last one, that trusted
/// proxies wrote; the peer, which is trusted, wrote the last one.
fn trusted_hops(clients: &[Option<IpAddr>], trusts: &impl Fn(IpAddr) -> bool) -> usize {
    let trusted = clients
        .iter()
        .rev()
        .take_while(|client| client.is_some_and(trusts));
    (trusted.count() + 1).min(clients.len().max(1))
}

/// Joins all lines of this header to one list (RFC 9110, section 5.3).
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut list = String::new();
    for value in headers.get_all(name) {
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(value.to_str().ok()?);
        if list.len() > MAX_BYTES {
            return None;
        }
    }
    (!list.is_empty()).then_some(list)
}

/// Returns the entries of a list, without empty ones (RFC 9110, section 5.6.1.2).
fn entries(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
}

fn scheme(text: &str) -> Option<&'static str> {
    let known = ["https", "http", "wss", "ws"];
    known
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(text))
}

/// Parses an address with or without port; `None` for `unknown`, obfuscated names and anything else.
fn node(text: &str) -> Option<IpAddr> {
    let bracketed = || text.strip_prefix('[')?.split_once(']');
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip().to_canonical());
    }
    // RFC 7239 allows an obfuscated port: `_port`
    let (address, port) = bracketed().or_else(|| text.split_once(':'))?;
    let port = port.strip_prefix(':').unwrap_or(port);
    let obfuscated = port.is_empty() || port.starts_with('_');
    let address: IpAddr = obfuscated.then(|| address.parse().ok()).flatten()?;
    Some(address.to_canonical())
}

/// Element of `Forwarded`, written by one proxy.
#[derive(Debug, Default)]
struct Element {
    client: Option<IpAddr>,
    scheme: Option<&'static str>,
    host: Option<String>,
}

/// Parses a list of elements (RFC 7239, section 4); `None` if it is malformed.
fn elements(list: &str) -> Option<Vec<Element>> {
    let mut elements = Vec::new();
    let mut rest = list;
    loop {
        let (pairs, after) = pairs(rest)?;
        // a list may have empty elements (RFC 9110, section 5.6.1)
        if !pairs.is_empty() {
            elements.push(Element::new(&pairs)?);
        }
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Some(elements),
            None => return None,
        }
    }
}

type Pair<'a> = (&'a str, String);

impl Element {
    fn new(pairs: &[Pair<'_>]) -> Option<Self> {
        let mut element = Self::default();
        for (at, (name, value)) in pairs.iter().enumerate() {
            let same = |(other, _): &Pair<'_>| other.eq_ignore_ascii_case(name);
            if pairs.iter().skip(at + 1).any(same) {
                return None; // each parameter at most once (section 4)
            }
            match name.to_ascii_lowercase().as_str() {
                "for" => element.client = node(value),
                "proto" => element.scheme = scheme(value),
                "host" => element.host = Some(value.clone()),
                _ => {}
            }
        }
        Some(element)
    }
}

/// Parses pairs up to the next comma outside of quotes, and returns the rest.
fn pairs(text: &str) -> Option<(Vec<Pair<'_>>, &str)> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start_matches([' ', '\t']);
    loop {
        if !rest.is_empty() && !rest.starts_with([',', ';']) {
            let (name, after) = token(rest)?;
            let (value, after) = value(after.strip_prefix('=')?)?;
            pairs.push((name, value));
            rest = after.trim_start_matches([' ', '\t']);
        }
        match rest.strip_prefix(';') {
            Some(next) => rest = next.trim_start_matches([' ', '\t']),
            None => return Some((pairs, rest)),
        }
    }
}

/// Parses a token (RFC 9110, section 5.6.2), and returns the rest.
fn token(text: &str) -> Option<(&str, &str)> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let end = text.bytes().position(|byte| !is_token(byte));
    let (token, rest) = text.split_at(end.unwrap_or(text.len()));
    (!token.is_empty()).then_some((token, rest))
}

/// Parses a token or a quoted string (RFC 9110, section 5.6.4), and returns the rest.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (token, rest) = token(text)?;
        return Some((token.to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    loop {
        match chars.next()? {
            (at, '"') => return Some((value, quoted.get(at + 1..)?)),
            (_, '\\') => value.push(chars.next()?.1),
            (_, char) => value.push(char),
        }
    }
}
