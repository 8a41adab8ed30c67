use std::net::IpAddr;

use ::http::header::{HOST, USER_AGENT};
use ::http::{Method, Uri, request};
use opentelemetry::trace::{Link, SpanBuilder, SpanContext, SpanKind, SpanRef, TraceContextExt};
use opentelemetry::{Context, KeyValue};
use ops_http::{Outcome, Route};

use super::query::redacted;
use crate::limits::{MAX_TEXT_BYTES, cut};

/// The name of what no route answers, and of methods that are not standard ones.
const UNNAMED: &str = "HTTP";
/// RFC 1035, section 2.3.4, and brackets.
const MAX_HOST_BYTES: usize = 257;
const ORIGINAL_METHOD_CHARS: usize = 32;
const CLIENT_TEXT_BYTES: usize = 256;

pub(super) fn builder(
    request: &request::Parts,
    route: Option<&Route>,
    link: Option<SpanContext>,
) -> SpanBuilder {
    let mut attributes = attributes(request);
    let mut builder = match route {
        Some(route) => {
            attributes.push(http_route(route));
            SpanBuilder::from_name(named(&request.method, route))
        }
        None => SpanBuilder::from_name(UNNAMED),
    };
    builder.span_kind = Some(SpanKind::Server);
    builder.attributes = Some(attributes);
    builder.links = link.map(|link| vec![Link::with_context(link)]);
    builder
}

fn http_route(route: &Route) -> KeyValue {
    KeyValue::new("http.route", route.shared())
}

fn attributes(request: &request::Parts) -> Vec<KeyValue> {
    let mut attributes = Vec::with_capacity(10);
    match known(&request.method) {
        Some(method) => attributes.push(KeyValue::new("http.request.method", method)),
        None => {
            let original = request.method.as_str().chars();
            let original: String = original.take(ORIGINAL_METHOD_CHARS).collect();
            attributes.push(KeyValue::new("http.request.method", "_OTHER"));
            attributes.push(KeyValue::new("http.request.method_original", original));
        }
    }
    let path = cut(request.uri.path().to_owned(), MAX_TEXT_BYTES);
    attributes.push(KeyValue::new("url.path", path));
    attributes.push(KeyValue::new("url.scheme", scheme(&request.uri)));
    if let Some(query) = request.uri.query() {
        attributes.push(KeyValue::new("url.query", redacted(query)));
    }
    server(request, &mut attributes);
    attributes
}

fn scheme(uri: &Uri) -> &'static str {
    match uri.scheme_str() {
        Some("https") => "https",
        _ => "http",
    }
}

/// From the request's target, or else `Host`; one that is not valid is left out.
fn server(request: &request::Parts, attributes: &mut Vec<KeyValue>) {
    let text = match request.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => request.headers.get(HOST).and_then(|h| h.to_str().ok()),
    };
    if let Some((address, port)) = text.and_then(host_and_port) {
        attributes.push(KeyValue::new("server.address", address.to_owned()));
        if let Some(port) = port {
            attributes.push(KeyValue::new("server.port", i64::from(port)));
        }
    }
}

/// A name, an IPv4 address or one of IPv6 in brackets, and a port if one is there. Nothing is allocated.
fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
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

pub(super) fn client(context: &Context, request: &request::Parts, peer: Option<IpAddr>) {
    let span = context.span();
    if let Some(peer) = peer {
        span.set_attribute(KeyValue::new("client.address", peer.to_string()));
    }
    let agent = request.headers.get(USER_AGENT);
    if let Some(agent) = agent.and_then(|agent| agent.to_str().ok()) {
        let agent = cut(agent.to_owned(), CLIENT_TEXT_BYTES);
        span.set_attribute(KeyValue::new("user_agent.original", agent));
    }
}

/// Corrects the name, once it is known what answered. 405 says that the path has routes, and that this is none of them.
pub(super) fn answered(span: &SpanRef<'_>, outcome: &Outcome, before: Option<&Route>) {
    let known = outcome.route.as_ref() == before;
    if let Some(route) = outcome.route.as_ref().filter(|_| !known) {
        span.set_attribute(http_route(route));
        span.update_name(named(&outcome.method, route));
    }
    if outcome.status == 405 {
        span.update_name(UNNAMED);
    }
}

fn named(method: &Method, route: &Route) -> String {
    let (method, template) = (known(method).unwrap_or(UNNAMED), route.template());
    let mut name = String::with_capacity(method.len() + 1 + template.len());
    name.push_str(method);
    name.push(' ');
    name.push_str(template);
    name
}

/// The methods of RFC 9110 and PATCH, exactly as they are written there.
fn known(method: &Method) -> Option<&'static str> {
    Some(match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => return None,
    })
}
