//! Encoding of spans as an `ExportTraceServiceRequest` (opentelemetry-proto 1.x, trace/v1), written into one buffer.
//!
//! The bytes are those of prost for the generated structs, but no struct is created; a property test compares both.

mod briefs;

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{Event, Link, SpanContext, SpanId, SpanKind, Status};
use opentelemetry::{Array, InstrumentationScope, Key, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;

pub(crate) use briefs::EncodedBriefs;

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;
const FIXED32: u8 = 5;

/// Field of a span in `ScopeSpans`.
const SPAN: u8 = 2;

/// Flags of a span and a link (`SpanFlags`): it is known whether the context is remote, and the context is remote.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// Part that all requests share: the resource of all spans.
#[derive(Debug, Default)]
pub(crate) struct EncodedResource {
    /// Field 1 of `ResourceSpans`.
    resource: Vec<u8>,
    /// Field 3.
    schema_url: Vec<u8>,
}

impl EncodedResource {
    pub(crate) fn new(resource: &Resource) -> Self {
        let mut encoded = Self::default();
        message(&mut encoded.resource, 1, |out| {
            for (key, value) in resource {
                attribute(out, 1, key, value);
            }
        });
        let url = resource.schema_url().unwrap_or_default();
        text(&mut encoded.schema_url, 3, url);
        encoded
    }
}

/// Writes a request with these spans, grouped by scope in the order of their first
/// spans. `written` are encoded spans, one after the other, of the scope `of`.
pub(crate) fn request(
    out: &mut Vec<u8>,
    resource: &EncodedResource,
    spans: &[SpanData],
    (of, written): (&InstrumentationScope, &[u8]),
) {
    let mut groups: Vec<(&InstrumentationScope, Vec<&SpanData>)> = Vec::with_capacity(1);
    if !written.is_empty() {
        groups.push((of, Vec::with_capacity(spans.len())));
    }
    for span in spans {
        let scope = &span.instrumentation_scope;
        match groups.iter_mut().find(|(known, _)| *known == scope) {
            Some((_, group)) => group.push(span),
            None => {
                let mut group = Vec::with_capacity(spans.len());
                group.push(span);
                groups.push((scope, group));
            }
        }
    }
    message(out, 1, |out| {
        out.extend_from_slice(&resource.resource);
        for (scope, spans) in &groups {
            let written = if *scope == of { written } else { &[] };
            message(out, 2, |out| scope_spans(out, scope, spans, written));
        }
        out.extend_from_slice(&resource.schema_url);
    });
}

fn scope_spans(
    out: &mut Vec<u8>,
    scope: &InstrumentationScope,
    spans: &[&SpanData],
    written: &[u8],
) {
    message(out, 1, |out| {
        text(out, 1, scope.name());
        text(out, 2, scope.version().unwrap_or_default());
        for pair in scope.attributes() {
            attribute(out, 3, &pair.key, &pair.value);
        }
    });
    out.extend_from_slice(written);
    for data in spans {
        message(out, SPAN, |out| span(out, data));
    }
    text(out, 3, scope.schema_url().unwrap_or_default());
}

fn span(out: &mut Vec<u8>, span: &SpanData) {
    ids(out, &span.span_context, span.parent_span_id);
    text(out, 5, &span.name);
    number(out, 6, kind(&span.span_kind));
    times(out, span.start_time, span.end_time);
    for pair in &span.attributes {
        attribute(out, 9, &pair.key, &pair.value);
    }
    number(out, 10, u64::from(span.dropped_attributes_count));
    for event in &span.events.events {
        message(out, 11, |out| event_of(out, event));
    }
    number(out, 12, u64::from(span.events.dropped_count));
    for link in &span.links.links {
        message(out, 13, |out| link_of(out, link));
    }
    number(out, 14, u64::from(span.links.dropped_count));
    message(out, 15, |out| match &span.status {
        Status::Unset => {}
        Status::Ok => number(out, 3, 1),
        Status::Error { description } => {
            text(out, 2, description);
            number(out, 3, 2);
        }
    });
    flags(out, &span.span_context, span.parent_span_is_remote);
}

fn ids(out: &mut Vec<u8>, context: &SpanContext, parent: SpanId) {
    bytes(out, 1, &context.trace_id().to_bytes());
    bytes(out, 2, &context.span_id().to_bytes());
    text(out, 3, &context.trace_state().header());
    if parent != SpanId::INVALID {
        bytes(out, 4, &parent.to_bytes());
    }
}

fn times(out: &mut Vec<u8>, start: SystemTime, end: SystemTime) {
    fixed64(out, 7, nanos(start));
    fixed64(out, 8, nanos(end));
}

fn flags(out: &mut Vec<u8>, context: &SpanContext, parent_is_remote: bool) {
    let flags = u32::from(context.trace_flags().to_u8());
    fixed32(out, 16, flags_of(parent_is_remote, flags));
}

fn event_of(out: &mut Vec<u8>, event: &Event) {
    fixed64(out, 1, nanos(event.timestamp));
    text(out, 2, &event.name);
    for pair in &event.attributes {
        attribute(out, 3, &pair.key, &pair.value);
    }
    number(out, 4, u64::from(event.dropped_attributes_count));
}

fn link_of(out: &mut Vec<u8>, link: &Link) {
    let context = &link.span_context;
    bytes(out, 1, &context.trace_id().to_bytes());
    bytes(out, 2, &context.span_id().to_bytes());
    text(out, 3, &context.trace_state().header());
    for pair in &link.attributes {
        attribute(out, 4, &pair.key, &pair.value);
    }
    number(out, 5, u64::from(link.dropped_attributes_count));
    let flags = u32::from(context.trace_flags().to_u8());
    fixed32(out, 6, flags_of(context.is_remote(), flags));
}

fn attribute(out: &mut Vec<u8>, tag: u8, key: &Key, value: &Value) {
    if let Value::String(value) = value {
        return text_attribute(out, tag, key.as_str(), value.as_str());
    }
    message(out, tag, |out| {
        text(out, 1, key.as_str());
        message(out, 2, |out| any_value(out, value));
    });
}

fn text_attribute(out: &mut Vec<u8>, tag: u8, key: &str, value: &str) {
    if short_attribute(out, tag, key, value) {
        return;
    }
    message(out, tag, |out| {
        text(out, 1, key);
        message(out, 2, |out| text_value(out, value));
    });
}

/// Writes a text value, even if it is empty.
fn text_value(out: &mut Vec<u8>, value: &str) {
    head(out, 1, BYTES);
    varint(out, value.len() as u64);
    out.extend_from_slice(value.as_bytes());
}

/// Writes an attribute if all its lengths fit into one byte, as most do, so
/// that they are known beforehand. Otherwise writes nothing and returns false.
fn short_attribute(out: &mut Vec<u8>, tag: u8, key: &str, value: &str) -> bool {
    let len = key.len() + value.len() + 6;
    if key.is_empty() || len >= 0x80 {
        return false;
    }
    out.reserve(len + 2);
    head(out, tag, BYTES);
    out.extend_from_slice(&[len as u8, 1 << 3 | BYTES, key.len() as u8]);
    out.extend_from_slice(key.as_bytes());
    let value_len = value.len() as u8;
    out.extend_from_slice(&[2 << 3 | BYTES, value_len + 2, 1 << 3 | BYTES, value_len]);
    out.extend_from_slice(value.as_bytes());
    true
}

/// Writes a value, even if it is zero or empty.
fn any_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::String(value) => text_value(out, value.as_str()),
        Value::Bool(value) => {
            head(out, 2, VARINT);
            out.push(u8::from(*value));
        }
        Value::I64(value) => {
            head(out, 3, VARINT);
            varint(out, value.cast_unsigned());
        }
        Value::F64(value) => {
            head(out, 4, FIXED64);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Value::Array(array) => message(out, 5, |out| array_of(out, array)),
        // the enum may grow: an unknown kind is written without a value
        _ => {}
    }
}

fn array_of(out: &mut Vec<u8>, array: &Array) {
    fn all<T: Clone>(out: &mut Vec<u8>, values: &[T])
    where
        Value: From<T>,
    {
        for value in values {
            message(out, 1, |out| any_value(out, &Value::from(value.clone())));
        }
    }
    match array {
        Array::Bool(values) => all(out, values),
        Array::I64(values) => all(out, values),
        Array::F64(values) => all(out, values),
        Array::String(values) => all(out, values),
        _ => {}
    }
}

fn kind(kind: &SpanKind) -> u64 {
    match kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    }
}

fn flags_of(is_remote: bool, flags: u32) -> u32 {
    flags | HAS_IS_REMOTE | if is_remote { IS_REMOTE } else { 0 }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_nanos() as u64
}

/// Writes a message, and before it its length, which is known
/// afterwards. Most have fewer than 128 bytes, so one byte is reserved.
fn message(out: &mut Vec<u8>, tag: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    head(out, tag, BYTES);
    let at = out.len();
    out.push(0);
    fill(out);
    let len = out.len() - at - 1;
    if let Ok(short @ ..0x80) = u8::try_from(len) {
        out[at] = short;
        return;
    }
    // a longer length moves the message: only one byte was reserved for it
    let digits = (64 - (len as u64).leading_zeros()).div_ceil(7) as usize;
    let end = out.len();
    out.resize(end + digits - 1, 0);
    out.copy_within(at + 1..end, at + digits);
    let mut rest = len;
    for digit in &mut out[at..at + digits - 1] {
        *digit = rest as u8 | 0x80;
        rest >>= 7;
    }
    out[at + digits - 1] = rest as u8;
}

fn text(out: &mut Vec<u8>, tag: u8, text: &str) {
    bytes(out, tag, text.as_bytes());
}

fn bytes(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    if !bytes.is_empty() {
        head(out, tag, BYTES);
        varint(out, bytes.len() as u64);
        out.extend_from_slice(bytes);
    }
}

fn number(out: &mut Vec<u8>, tag: u8, number: u64) {
    if number != 0 {
        head(out, tag, VARINT);
        varint(out, number);
    }
}

fn fixed64(out: &mut Vec<u8>, tag: u8, number: u64) {
    if number != 0 {
        head(out, tag, FIXED64);
        out.extend_from_slice(&number.to_le_bytes());
    }
}

fn fixed32(out: &mut Vec<u8>, tag: u8, number: u32) {
    if number != 0 {
        head(out, tag, FIXED32);
        out.extend_from_slice(&number.to_le_bytes());
    }
}

fn head(out: &mut Vec<u8>, tag: u8, wire: u8) {
    varint(out, u64::from(tag) << 3 | u64::from(wire));
}

#[inline]
fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests;
