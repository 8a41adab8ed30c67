use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use ::http::{HeaderValue, Method, Uri, Version};
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanRef;
use ops_http::{Ending, Outcome, Route, known_method};

use super::forwarded::Forwarded;
use super::head::{Client, Head};
use super::query::{redacted, redacted_path};
use crate::limits::{ERROR_TYPE, MAX_TEXT_BYTES, cut};

/// The name of what no route answers, and of methods that are not known ones.
pub(super) const UNNAMED: &str = "HTTP";
/// RFC 1035, section 2.3.4, and brackets.
const MAX_HOST_BYTES: usize = 257;
const ORIGINAL_METHOD_CHARS: usize = 32;
const CLIENT_TEXT_BYTES: usize = 256;
/// Attributes of whoever sent a request.
pub(super) const OF_CLIENT: [&str; 2] = ["client.address", "user_agent.original"];

pub(super) fn http_route(route: &Route) -> KeyValue {
    KeyValue::new("http.route", route.shared())
}

/// The attributes of a request's head, but for its route.
pub(super) fn attributes(head: &Head, add: &mut impl FnMut(KeyValue)) {
    method(&head.method, add);
    let path = redacted_path(head.uri.path()).into_owned();
    let path = cut(path, MAX_TEXT_BYTES);
    add(KeyValue::new("url.path", path));
    let scheme = head.forwarded.scheme.unwrap_or_else(|| scheme(&head.uri));
    add(KeyValue::new("url.scheme", scheme));
    if let Some(version) = version(head.version) {
        add(KeyValue::new("network.protocol.version", version));
    }
    if let Some(query) = head.uri.query() {
        add(KeyValue::new("url.query", redacted(query)));
    }
    server(&head.forwarded, &head.uri, head.host.as_ref(), add);
}

pub(super) fn method(method: &Method, add: &mut impl FnMut(KeyValue)) {
    match known_method(method) {
        Some(method) => add(KeyValue::new("http.request.method", method)),
        None => {
            let original = method.as_str().chars();
            let original: String = original.take(ORIGINAL_METHOD_CHARS).collect();
            add(KeyValue::new("http.request.method", "_OTHER"));
            add(KeyValue::new("http.request.method_original", original));
        }
    }
}

pub(super) fn scheme(uri: &Uri) -> &'static str {
    match uri.scheme_str() {
        Some("https") => "https",
        _ => "http",
    }
}

pub(super) fn version(version: Version) -> Option<&'static str> {
    Some(match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_11 => "1.1",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => return None,
    })
}

/// By trusted proxies, or else from the request's target, or else `Host`; one that is not valid is left out.
pub(super) fn server(
    forwarded: &Forwarded,
    target: &Uri,
    host: Option<&HeaderValue>,
    add: &mut impl FnMut(KeyValue),
) {
    let told = forwarded.host.as_deref().and_then(host_and_port);
    let server = match told {
        Some((address, port)) => Some((address.into(), port.or(forwarded.port))),
        None => {
            let own = match target.authority() {
                Some(authority) => own_host(authority.as_str().as_bytes()),
                None => host.and_then(|host| own_host(host.as_bytes())),
            };
            // the host is the one that the proxy called, its port that of this service
            own.map(|(address, port)| (address, forwarded.port.or(port)))
        }
    };
    if let Some((address, port)) = server {
        add(KeyValue::new("server.address", address));
        if let Some(port) = port {
            add(KeyValue::new("server.port", i64::from(port)));
        }
    }
}

/// The address and the port that requests of a thread had last, and the text that names both.
type LastHost = (Box<[u8]>, Arc<str>, Option<u16>);

/// Returns the address and the port that this names. Most requests have those of the one before, which are not read again, nor copied.
fn own_host(text: &[u8]) -> Option<(Arc<str>, Option<u16>)> {
    thread_local! {
        static LAST: RefCell<Option<LastHost>> = const { RefCell::new(None) };
    }
    let known = LAST.try_with(|last| match &*last.try_borrow().ok()? {
        Some((known, address, port)) if **known == *text => Some((Arc::clone(address), *port)),
        _ => None,
    });
    if let Some(known) = known.ok().flatten() {
        return Some(known);
    }
    let (address, port) = host_and_port(std::str::from_utf8(text).ok()?)?;
    let address: Arc<str> = address.into();
    if text.len() > MAX_HOST_BYTES + ":65535".len() {
        return Some((address, port)); // zeros before the port, which nobody needs to keep
    }
    let new = (text.into(), Arc::clone(&address), port);
    let _ = LAST.try_with(|last| {
        if let Ok(mut last) = last.try_borrow_mut() {
            *last = Some(new);
        }
    });
    Some((address, port))
}

/// A name, an IPv4 address or one of IPv6 in brackets, and a port if one is there. Nothing is allocated.
pub(super) fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    let end = match text.strip_prefix('[') {
        Some(after) => after.find(']')? + 2,
        None => text.bytes().position(|b| b == b':').unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at(end);
    let port = match rest.strip_prefix(':') {
        Some(port) => Some(port.parse().ok()?),
        None if rest.is_empty() => None,
        None => return None,
    };
    let bracketed = host.starts_with('[');
    let valid = |b: u8| {
        b.is_ascii_alphanumeric()
            || matches!(b, b'-' | b'.' | b'_')
            || bracketed && matches!(b, b':' | b'[' | b']')
    };
    (!host.is_empty() && host.len() <= MAX_HOST_BYTES && host.bytes().all(valid))
        .then_some((host, port))
}

pub(super) fn client(client: &Client, add: &mut impl FnMut(KeyValue)) {
    if let Some(address) = client.address {
        // a socket for both versions has IPv4 peers as `::ffff:10.0.0.1`
        let address = address.to_canonical().to_string();
        add(KeyValue::new(OF_CLIENT[0], address));
    }
    let agent = client.agent.as_ref();
    if let Some(agent) = agent.and_then(|agent| agent.to_str().ok()) {
        let agent = cut(agent.to_owned(), CLIENT_TEXT_BYTES);
        add(KeyValue::new(OF_CLIENT[1], agent));
    }
}

/// Describes how the request ended; returns true if it failed.
pub(super) fn ended(outcome: &Outcome, add: &mut impl FnMut(KeyValue)) -> bool {
    // where nothing was sent, whoever sees the failure answers 500
    let unsent = (outcome.ending != Ending::Aborted).then_some(outcome.status);
    if let Some(status) = outcome.sent_status.or(unsent) {
        let status = i64::from(status);
        add(KeyValue::new("http.response.status_code", status));
    }
    if outcome.streamed {
        add(KeyValue::new("http.response.streaming", true));
    }
    let kind: Cow<'static, str> = match outcome.error_type() {
        Some(kind) => kind.into(),
        None if outcome.is_server_error() => outcome.status.to_string().into(),
        None => return false,
    };
    add(KeyValue::new(ERROR_TYPE, kind));
    true
}

/// Corrects the name, once it is known what answered.
pub(super) fn answered(span: &SpanRef<'_>, outcome: &Outcome, before: Option<&Route>) {
    let known = outcome.route.as_ref() == before;
    if let Some(route) = outcome.route.as_ref().filter(|_| !known) {
        span.set_attribute(http_route(route));
        span.update_name(named(&outcome.method, route));
    }
}

pub(super) fn named(method: &Method, route: &Route) -> String {
    let (method, template) = (known_method(method).unwrap_or(UNNAMED), route.template());
    let mut name = String::with_capacity(method.len() + 1 + template.len());
    name.push_str(method);
    name.push(' ');
    name.push_str(template);
    name
}
