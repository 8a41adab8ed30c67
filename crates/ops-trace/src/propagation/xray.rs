//! The header of AWS X-Ray: `Root=1-<8 digits>-<24 digits>;Parent=<16 digits>;Sampled=1`.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

use super::hex;

pub(super) const HEADER: HeaderName = HeaderName::from_static("x-amzn-trace-id");

/// Reads the header; `None` for the header of a load balancer, which has no `Parent`.
pub(super) fn parse(headers: &HeaderMap) -> Option<SpanContext> {
    let (mut root, mut parent, mut sampled) = (None, None, false);
    let parts = headers
        .get(HEADER)?
        .to_str()
        .ok()?
        .split(';')
        .map(str::trim);
    // some senders end the last part with a semicolon too
    for part in parts.filter(|part| !part.is_empty()) {
        match part.split_once('=')? {
            ("Root", value) => root = trace_id(value),
            ("Parent", value) if value.len() == 16 => parent = hex(value.as_bytes()),
            ("Sampled", value) => sampled = value == "1",
            _ => {}
        }
    }
    let context = SpanContext::new(
        TraceId::from_bytes(root?),
        SpanId::from_bytes(parent?),
        TraceFlags::default().with_sampled(sampled),
        true,
        TraceState::default(),
    );
    context.is_valid().then_some(context)
}

fn trace_id(text: &str) -> Option<[u8; 16]> {
    let (time, random) = text.strip_prefix("1-")?.split_once('-')?;
    let digits = format!("{time}{random}");
    (time.len() == 8 && digits.len() == 32).then(|| hex(digits.as_bytes()))?
}

pub(super) fn inject(ids: &SpanContext, headers: &mut HeaderMap) {
    let trace = ids.trace_id().to_string();
    let (time, random) = trace.split_at(8);
    let sampled = u8::from(ids.is_sampled());
    let text = format!(
        "Root=1-{time}-{random};Parent={};Sampled={sampled}",
        ids.span_id()
    );
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(HEADER, value);
    }
}
