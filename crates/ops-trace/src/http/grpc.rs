//! Spans of gRPC calls, by OpenTelemetry's stable conventions for RPC and gRPC.

use std::borrow::Cow;

use ::http::header::HOST;
use ::http::request;
use opentelemetry::trace::{Link, SpanBuilder, SpanContext, SpanKind, TraceContextExt};
use opentelemetry::{Context, KeyValue};
use ops_http::{GrpcEnd, Outcome};

use super::describe::{client, server, server_of};
use super::forwarded::Forwarded;
use super::head::Client;
use crate::span::{fail, fail_with};

const SYSTEM: &str = "grpc";
const OTHER_METHOD: &str = "_OTHER";

/// Returns the span of an incoming call. It is named after the method only
/// if the method is known to exist, so that clients cannot make up names.
pub(super) fn served(
    request: &request::Parts,
    link: Option<SpanContext>,
    forwarded: &Forwarded,
    who: Option<&Client>,
) -> SpanBuilder {
    let mut attributes = Vec::with_capacity(8);
    attributes.push(KeyValue::new("rpc.system.name", SYSTEM));
    let method = ops_http::known_grpc_method(request).map(str::to_owned);
    let name = method.clone().map_or(Cow::Borrowed(SYSTEM), Cow::Owned);
    attributes.extend(method.map(|method| KeyValue::new("rpc.method", method)));
    let host = request.headers.get(HOST);
    let mut add = |attribute| attributes.push(attribute);
    server(server_of(forwarded, &request.uri, host), &mut add);
    if let Some(who) = who {
        client(who, &mut add);
    }
    let mut builder = SpanBuilder::from_name(name).with_kind(SpanKind::Server);
    builder.attributes = Some(attributes);
    builder.links = link.map(|link| vec![Link::with_context(link)]);
    builder
}

/// Returns the attributes of an outgoing call, without the server's address.
pub(super) fn sent(method: &str) -> [KeyValue; 2] {
    [
        KeyValue::new("rpc.system.name", SYSTEM),
        KeyValue::new("rpc.method", method.to_owned()),
    ]
}

/// Records the end of the call; the status message becomes the description of a failed span.
pub(super) fn ended(context: &Context, call: &GrpcEnd, outcome: &Outcome) {
    let span = context.span();
    match call.method() {
        Some(method) => {
            span.update_name(method.to_owned());
            span.set_attribute(KeyValue::new("rpc.method", method.to_owned()));
        }
        None => {
            span.set_attribute(KeyValue::new("rpc.method", OTHER_METHOD));
            let requested = call.requested_method().to_owned();
            span.set_attribute(KeyValue::new("rpc.method_original", requested));
        }
    }
    span.set_attribute(KeyValue::new("rpc.status_code", call.code.name()));
    // the response is not from gRPC
    if let Some(status) = outcome.sent_status.filter(|status| *status != 200) {
        let status = KeyValue::new("http.response.status_code", i64::from(status));
        span.set_attribute(status);
    }
    if let Some(kind) = call.error_type {
        match call.message.as_deref() {
            Some(message) => fail_with(context, kind.into(), message.to_owned().into()),
            None => fail(context, kind.into()),
        }
    }
}
