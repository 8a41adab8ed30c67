//! W3C baggage, with the limits of its specification: 64 members, 8,192 bytes.
//!
//! The SDK's propagator does not write percent signs and backslashes so that they are read back unchanged, cuts values
//! at an equals sign, and removes encoded spaces.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::baggage::{BaggageExt, KeyValueMetadata};
use opentelemetry::trace::TraceContextExt as _;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

pub(super) const HEADER: HeaderName = HeaderName::from_static("baggage");

const MAX_BYTES: usize = 8192;
const MAX_MEMBERS: usize = 64;

/// Characters that properties cannot contain; encoded characters stay encoded.
const NO_PROPERTY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b',').add(b'\\');
/// Characters that are encoded in a value. An equals sign would be allowed, but other implementations cut values there.
const NO_VALUE: &AsciiSet = &NO_PROPERTY.add(b';').add(b'%').add(b'=');

/// Returns the context with the baggage of the headers. Above 8,192 bytes all baggage is ignored, and only the first 64
/// members are read. A value may contain UTF-8 that is not encoded.
pub(crate) fn extract(headers: &HeaderMap, context: Context) -> Context {
    let values = headers.get_all(HEADER).iter();
    let values: Vec<&[u8]> = values.map(HeaderValue::as_bytes).collect();
    let bytes: usize = values.iter().map(|value| value.len() + 1).sum();
    if values.is_empty() || bytes > MAX_BYTES + 1 {
        return context;
    }
    // invalid UTF-8 makes at most its own member invalid
    let members = values
        .iter()
        .flat_map(|value| value.split(|byte| *byte == b','));
    let members = members.take(MAX_MEMBERS);
    let members: Vec<_> = members
        .filter_map(|text| member(str::from_utf8(text).ok()?))
        .collect();
    if members.is_empty() {
        return context;
    }
    context.with_baggage(members)
}

/// Reads `key=value;properties`; anything else is ignored. Only values
/// are decoded; keys are tokens, and the context refuses any other key.
fn member(text: &str) -> Option<KeyValueMetadata> {
    let (pair, properties) = text.split_once(';').unwrap_or((text, ""));
    let (key, value) = pair.split_once('=')?;
    let (key, value) = (key.trim().to_owned(), percent_decode_str(value.trim()));
    let value = value.decode_utf8_lossy().into_owned();
    (!key.is_empty()).then(|| KeyValueMetadata::new(key, value, without_blanks(properties)))
}

/// Returns properties without the blanks allowed around `;` and
/// `=`: encoded, they would become part of the text next to them.
fn without_blanks(properties: &str) -> String {
    if !properties.contains([' ', '\t']) {
        return properties.to_owned();
    }
    let parts = properties.split(';').map(|property| {
        let parts: Vec<&str> = property.splitn(2, '=').map(str::trim).collect();
        parts.join("=")
    });
    parts.collect::<Vec<_>>().join(";")
}

/// Adds as many members as fit. With a current span, the baggage of
/// another context is removed, which is present if headers are passed on.
pub(super) fn inject(context: &Context, headers: &mut HeaderMap) {
    if context.span().span_context().is_valid() {
        headers.remove(HEADER);
    }
    let mut text = String::new();
    for (key, (value, properties)) in context.baggage().iter().take(MAX_MEMBERS) {
        let mut member = format!("{key}=");
        member.extend(utf8_percent_encode(value.as_str(), NO_VALUE));
        let properties = properties.as_str().trim();
        if !properties.is_empty() {
            member.push(';');
            member.extend(utf8_percent_encode(properties, NO_PROPERTY));
        }
        if text.len() + 1 + member.len() <= MAX_BYTES + usize::from(text.is_empty()) {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(&member);
        }
    }
    if text.is_empty() {
        return;
    }
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(HEADER, value);
    }
}

/// Returns the value of a baggage key.
pub(crate) fn value(context: &Context, key: &str) -> Option<String> {
    context
        .baggage()
        .get(key)
        .map(|value| value.as_str().to_owned())
}
