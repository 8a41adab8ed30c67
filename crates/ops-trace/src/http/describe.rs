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
use crate::limits::{ERROR_TYPE, MAX_TEXT_BYTES, cut, cut_where_it_is};

/// Name of requests that no route matches, and of unknown methods.
pub(super) const UNNAMED: &str = "HTTP";
/// Keys of the two attributes in which requests of a route differ.
pub(super) const PATH: &str = "url.path";
pub(super) const QUERY: &str = "url.query";
/// RFC 1035, section 2.3.4, plus brackets.
const MAX_HOST_BYTES: usize = 257;
const ORIGINAL_METHOD_CHARS: usize = 32;
const CLIENT_TEXT_BYTES: usize = 256;
/// Attributes of the client that sent a request.
pub(super) const OF_CLIENT: [&str; 2] = ["client.address", "user_agent.original"];

pub(super) fn http_route(route: &Route) -> KeyValue {
    KeyValue::new("http.route", route.shared())
}

/// Adds the attributes of a request's head, except its route.
pub(super) fn attributes(head: &Head, add: &mut impl FnMut(KeyValue)) {
    method(&head.method, add);
    add(KeyValue::new(PATH, path(&head.uri).into_owned()));
    add(KeyValue::new("url.scheme", head.scheme()));
    if let Some(version) = version(head.version) {
        add(KeyValue::new("network.protocol.version", version));
    }
    if let Some(query) = query(&head.uri) {
        add(KeyValue::new(QUERY, query.into_owned()));
    }
    server(head.server(), add);
}

pub(super) fn path(uri: &Uri) -> Cow<'_, str> {
    cut_where_it_is(redacted_path(uri.path()), MAX_TEXT_BYTES)
}

pub(super) fn query(uri: &Uri) -> Option<Cow<'_, str>> {
    Some(cut_where_it_is(redacted(uri.query()?), MAX_TEXT_BYTES))
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

/// A host, with its port if known.
pub(super) type Server = (Arc<str>, Option<u16>);

/// Returns the host from trusted proxies, or else from the request's
/// target, or else from `Host`; an invalid host is ignored.
pub(super) fn server_of(
    forwarded: &Forwarded,
    target: &Uri,
    host: Option<&HeaderValue>,
) -> Option<Server> {
    let forwarded_host = forwarded.host.as_deref();
    if let Some((address, port)) =
        forwarded_host.and_then(|forwarded_host| host_of(forwarded_host.as_bytes()))
    {
        return Some((address, port.or(forwarded.port)));
    }
    let (address, port) = match target.authority() {
        Some(authority) => host_of(authority.as_str().as_bytes())?,
        None => host_of(host?.as_bytes())?,
    };
    // the host is the one that the proxy was called with, the port is that of this service
    Some((address, forwarded.port.or(port)))
}

pub(super) fn server(server: Option<Server>, add: &mut impl FnMut(KeyValue)) {
    if let Some((address, port)) = server {
        add(KeyValue::new("server.address", address));
        if let Some(port) = port {
            add(KeyValue::new("server.port", i64::from(port)));
        }
    }
}

/// Address and port of the last request of a thread, and the text that contains both.
type LastHost = (Box<[u8]>, Arc<str>, Option<u16>);

/// Returns the address and the port in this text. Most requests have
/// those of the previous one, which are neither parsed nor copied.
fn host_of(text: &[u8]) -> Option<Server> {
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
        return Some((address, port)); // zeros before the port, not worth storing
    }
    let new = (text.into(), Arc::clone(&address), port);
    let _ = LAST.try_with(|last| {
        if let Ok(mut last) = last.try_borrow_mut() {
            *last = Some(new);
        }
    });
    Some((address, port))
}

/// Parses a name, an IPv4 address or an IPv6 address in brackets, and an optional port. Does not allocate.
pub(super) fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    let end = match text.strip_prefix('[') {
        Some(after) => after.find(']')? + 2,
        None => text.bytes().position(|b| b == b':').unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at(end);
    let port = match rest.strip_prefix(':') {
        Some("") => None, // as RFC 3986, section 3.2.3, allows it
        Some(port) if port.starts_with('+') => return None,
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
        // a dual-stack socket reports IPv4 peers as `::ffff:10.0.0.1`
        let address = address.to_canonical().to_string();
        add(KeyValue::new(OF_CLIENT[0], address));
    }
    let agent = client.agent.as_ref();
    if let Some(agent) = agent.and_then(|agent| agent.to_str().ok()) {
        let agent = cut(agent.to_owned(), CLIENT_TEXT_BYTES);
        add(KeyValue::new(OF_CLIENT[1], agent));
    }
}

/// Adds the attributes of the request's end; returns true if it failed.
pub(super) fn ended(outcome: &Outcome, add: &mut impl FnMut(KeyValue)) -> bool {
    if let Some(status) = status(outcome) {
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

/// Returns the status of the response. If none was sent after a failure, the server responds with 500.
pub(super) fn status(outcome: &Outcome) -> Option<u16> {
    let is_dropped = matches!(outcome.ending, Ending::Aborted | Ending::CutOff);
    let unsent = (!is_dropped).then_some(outcome.status);
    outcome.sent_status.or(unsent)
}

/// Corrects the name once the matched route is known.
pub(super) fn correct_name(span: &SpanRef<'_>, outcome: &Outcome, before: Option<&Route>) {
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
