use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::text_map_propagator::FieldIter;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};

use crate::current::current_span_context;

pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const HEADER_BYTES: usize = 55;
const MAX_TRACESTATE_BYTES: usize = 512;
const MAX_TRACESTATE_MEMBERS: usize = 32;

/// Adds the current trace context to the headers of an outgoing request, or nothing where there is none.
pub fn inject(headers: &mut HeaderMap) {
    let context = current_span_context();
    if !context.is_valid() {
        return;
    }
    if let Ok(value) = HeaderValue::from_bytes(&header(&context)) {
        headers.insert(TRACEPARENT, value);
    }
    let state = context.trace_state().header();
    if !state.is_empty()
        && let Ok(value) = HeaderValue::from_str(&state)
    {
        headers.insert(TRACESTATE, value);
    }
}

/// The hosts that are told of our traces.
#[derive(Debug)]
pub(crate) struct Hosts(Vec<String>);

impl Hosts {
    pub(crate) fn new(hosts: Vec<String>) -> Self {
        Self(hosts)
    }

    pub(crate) fn contains(&self, host: &str) -> bool {
        let host = without_port(host);
        self.0.iter().any(|known| match known.strip_prefix("*.") {
            Some(domain) => below(host, domain),
            None => known.eq_ignore_ascii_case(host),
        })
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => {
            name
        }
        _ => host,
    }
}

fn below(host: &str, domain: &str) -> bool {
    let Some(start) = host.len().checked_sub(domain.len() + 1) else {
        return false;
    };
    host.is_char_boundary(start + 1)
        && host.as_bytes()[start] == b'.'
        && host[start + 1..].eq_ignore_ascii_case(domain)
}

/// `00-<trace id>-<span id>-<flags>`, as in `traceparent` and `traceresponse`.
pub(crate) fn header(context: &SpanContext) -> [u8; HEADER_BYTES] {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    digits(&mut text[3..35], &context.trace_id().to_bytes());
    digits(&mut text[36..52], &context.span_id().to_bytes());
    digits(&mut text[53..], &[context.trace_flags().to_u8() & 1]);
    text
}

/// Two digits for each byte; some ten times as fast as formatting.
fn digits(text: &mut [u8], bytes: &[u8]) {
    for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        *pair = PAIRS[usize::from(*byte)];
    }
}

/// The digits of every byte.
static PAIRS: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    pairs
};

/// The parent that a request names, by the rules of W3C trace context, which the SDK's own propagator does not keep.
#[cfg_attr(not(feature = "http"), expect(dead_code, reason = "servers read it"))]
pub(crate) fn extract(headers: &HeaderMap) -> Option<SpanContext> {
    let mut all = headers.get_all(TRACEPARENT).iter();
    let (Some(value), None) = (all.next(), all.next()) else {
        return None;
    };
    let (trace_id, span_id, flags) = parse(value.as_bytes())?;
    let mut states = Vec::new();
    for value in headers.get_all(TRACESTATE) {
        states.push(value.to_str().unwrap_or("")); // what is no text makes the whole invalid
    }
    let state = trace_state(&states.join(",")).unwrap_or_default();
    Some(SpanContext::new(trace_id, span_id, flags, true, state))
}

/// The same rules for libraries that ask OpenTelemetry's global propagator.
#[derive(Debug)]
pub(crate) struct W3c {
    fields: [String; 2],
}

impl Default for W3c {
    fn default() -> Self {
        Self {
            fields: [TRACEPARENT, TRACESTATE].map(|name| name.as_str().to_owned()),
        }
    }
}

impl TextMapPropagator for W3c {
    fn inject_context(&self, context: &Context, injector: &mut dyn Injector) {
        let span = context.span();
        let ids = span.span_context();
        if ids.is_valid() {
            let value = String::from_utf8_lossy(&header(ids)).into_owned();
            injector.set(TRACEPARENT.as_str(), value);
            let state = ids.trace_state().header();
            if !state.is_empty() {
                injector.set(TRACESTATE.as_str(), state);
            }
        }
    }

    fn extract_with_context(&self, context: &Context, extractor: &dyn Extractor) -> Context {
        let value = extractor.get(TRACEPARENT.as_str()).unwrap_or_default();
        let Some((trace_id, span_id, flags)) = parse(value.as_bytes()) else {
            return context.clone();
        };
        let state = extractor.get(TRACESTATE.as_str()).and_then(trace_state);
        let state = state.unwrap_or_default();
        context.with_remote_span_context(SpanContext::new(trace_id, span_id, flags, true, state))
    }

    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(&self.fields)
    }
}

fn parse(value: &[u8]) -> Option<(TraceId, SpanId, TraceFlags)> {
    let (head, rest) = value.split_at_checked(55)?;
    if head[2] != b'-' || head[35] != b'-' || head[52] != b'-' {
        return None;
    }
    let version = hex::<1>(&head[..2])?[0];
    let known_end = match version {
        0 => rest.is_empty(),
        0xff => false,
        _ => rest.is_empty() || rest[0] == b'-',
    };
    let trace_id = TraceId::from_bytes(hex(&head[3..35])?);
    let span_id = SpanId::from_bytes(hex(&head[36..52])?);
    let flags = TraceFlags::new(hex::<1>(&head[53..])?[0] & 1);
    let valid = known_end && trace_id != TraceId::INVALID && span_id != SpanId::INVALID;
    valid.then_some((trace_id, span_id, flags))
}

/// At most 512 bytes and 32 members; anything else is dropped as a whole, and the trace is kept.
fn trace_state(text: &str) -> Option<TraceState> {
    let members: Vec<&str> = text
        .split(',')
        .map(str::trim)
        .filter(|member| !member.is_empty())
        .collect();
    let fits = text.len() <= MAX_TRACESTATE_BYTES && members.len() <= MAX_TRACESTATE_MEMBERS;
    fits.then(|| members.join(",").parse().ok()).flatten()
}

/// Lower-case hexadecimal digits only, as the specification has it.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let digit = |d: u8| match d {
        b'0'..=b'9' => Some(d - b'0'),
        b'a'..=b'f' => Some(d - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}
